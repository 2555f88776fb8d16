"""`ote cancel` and `ote resolve`: what people decide about commands on their way."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.text import Text

from services.cli.exits import Exit
from services.cli.local_api import local_api
from services.cli.options import COMMON, Common
from services.cli.printing import note, show, show_data, show_names
from services.cli.render import safe
from services.cli.views.commands import where_to

Path = Annotated[str | None, Parameter(metavar="PATH")]


async def cancel(id: str, /, *, target: Path = None, common: Common = COMMON) -> Exit:
    """Takes a command back where it was not delivered. What a cluster has received it goes on with.

    Refused (exit code 6) if it was delivered everywhere.

    For example:

        ote cancel 01939a3c-0000-7000-8000-000000000001
        ote cancel 01939a3c-0000-7000-8000-000000000001 --target root.east.site1

    Parameters
    ----------
    id
        The command.
    target
        Only at this cluster.
    """
    async with local_api(common) as api:
        answer = await api.ask("cancel", {"id": id, "target": target})
    if not answer["count"] and common.for_people:
        note(f"nothing to cancel: command {safe(id)} was delivered, or is over, at every cluster")
    else:
        _show(answer, where_to("cancelling command", answer), common)
    return Exit.OK if answer["count"] else Exit.REFUSED


async def resolve(
    id: str,
    /,
    *,
    target: Annotated[str, Parameter(metavar="PATH")],
    outcome: Annotated[Literal["done", "failed", "retry"], Parameter(name="--as")],
    common: Common = COMMON,
) -> None:
    """Decides what is in doubt: a command that had started when its cluster stopped, and is not safe to repeat.

    For example:

        ote resolve 01939a3c-0000-7000-8000-000000000001 --target root.site1 --as done
        ote resolve 01939a3c-0000-7000-8000-000000000001 --target root.site1 --as retry

    Parameters
    ----------
    id
        The command.
    target
        The cluster where it is in doubt.
    outcome
        done: it took effect; failed: it did not; retry: do it again.
    """
    async with local_api(common) as api:
        answer = await api.ask("resolve", {"id": id, "target": target, "as": outcome})
    _show(answer, f"resolved command {safe(id)} at {safe(answer['target'])} as {safe(answer['as'])}", common)


def _show(answer: dict[str, Any], text: Text | str, common: Common) -> None:
    if common.output == "name":
        show_names([answer["id"]])
    elif common.for_people:
        show(text)
    else:
        show_data(answer, common.output)

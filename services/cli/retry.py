"""`ote retry`: what did not succeed at a cluster, again."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from bus.event import new_id
from services.cli.exits import Exit
from services.cli.local_api import local_api
from services.cli.options import COMMON, Common, Span, Wait, wait_seconds
from services.cli.printing import note, show, show_data, show_names
from services.cli.render import safe
from services.cli.sending import actor, show_outcome
from services.cli.waiting import wait_for


async def retry(
    id: str,
    /,
    *,
    target: Annotated[str, Parameter(metavar="PATH")],
    ttl: Span | None = None,
    wait: Wait = True,
    common: Common = COMMON,
) -> Exit:
    """Tries a command again at one cluster, where it failed, expired, was refused or is in doubt.

    What is in doubt goes on under its own id, as with ote resolve --as retry. Else it is a new command, which names
    the old one as its cause; it takes the place of no other that has the same key.

    For example:

        ote retry 01a20751-96de-74de-9eaa-91fdf765ff6c --target root.east.site1

    Parameters
    ----------
    id
        The command.
    target
        The cluster where it is tried again.
    ttl
        Time to live of the new command; as long as that of the old one if not given.
    wait
        Wait for the new command, at most this long (60 s if no time is given); --no-wait only submits.
    """
    async with local_api(common) as api:
        request = {"id": id, "target": target, "ttl": ttl, "new": new_id(), "actor": actor()}
        answer = await api.ask("retry", request)
        seconds = wait_seconds(wait)
        if answer["id"] == id or seconds is None:
            _show(answer, common)
            return Exit.OK
        if common.for_people:
            show(_told(answer))
        code = await wait_for(api, answer["id"], seconds)
        await show_outcome(api, answer["id"], common, full=True)
        return code


def _told(answer: dict[str, Any]) -> str:
    return f"command {safe(answer['id'])} tries {safe(answer['retries'])} again at {safe(answer['target'])}"


def _show(answer: dict[str, Any], common: Common) -> None:
    if common.output == "name":
        show_names([answer["id"]])
    elif not common.for_people:
        show_data(answer, common.output)
    else:
        show(_told(answer))
        note(f"to see how it goes: ote status {safe(answer['id'])} --watch")

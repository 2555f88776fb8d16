"""`ote status`: how a tier, or one command, is doing."""

from __future__ import annotations

from datetime import UTC, datetime

from services.cli.exits import Exit
from services.cli.local_api import LocalApi, local_api
from services.cli.options import COMMON, Common
from services.cli.printing import show, show_data, show_names
from services.cli.views.commands import one_command
from services.cli.views.status import tier_status
from services.cli.waiting import wait_for


async def status(id: str | None = None, /, *, watch: bool = False, common: Common = COMMON) -> Exit:
    """How this tier is doing: what is offline since when, undelivered, in doubt, the log. With an id: that command.

    For example:

        ote status
        ote status 01939a3c-0000-7000-8000-000000000001 --watch
        ote status --tier root.east -o json

    Parameters
    ----------
    id
        A command.
    watch
        Wait until the command is final at every cluster; the exit code tells how it ended.
    """
    async with local_api(common) as api:
        if id is None:
            await _tier(api, common)
            return Exit.OK
        code = await wait_for(api, id, None) if watch else Exit.OK
        await _command(api, id, common)
        return code


async def _tier(api: LocalApi, common: Common) -> None:
    answer = await api.ask("status")
    if common.output == "name":
        show_names([answer["path"]])
    elif common.for_people:
        show(tier_status(answer, datetime.now(UTC)))
    else:
        show_data(answer, common.output)


async def _command(api: LocalApi, id: str, common: Common) -> None:
    answer = await api.whole_command(id)
    if common.output == "name":
        show_names(sorted(answer["targets"]))
    elif common.for_people:
        show(one_command(answer, datetime.now(UTC), wide=common.output == "wide"))
    else:
        show_data(answer, common.output)

"""`ote undo`: bring back what was before an apply or delete."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from services.cli.exits import Exit
from services.cli.local_api import LocalApi, local_api
from services.cli.options import COMMON, Common, Span, Wait, wait_seconds
from services.cli.printing import note, show, show_data, show_names
from services.cli.render import counts
from services.cli.sending import actor
from services.cli.views.commands import where_to
from services.cli.views.undo import plan_table
from services.cli.waiting import wait_for

Answer = dict[str, Any]


async def undo(
    id: str,
    /,
    *,
    on: Annotated[str | None, Parameter(metavar="SELECTOR")] = None,
    dry_run: bool = False,
    force: bool = False,
    ttl: Span | None = None,
    wait: Wait = False,
    common: Common = COMMON,
) -> Exit:
    """Brings back what was there before an apply or delete; shows what it does, then does it.

    What the command created is deleted, what it changed gets its former manifest, what it deleted is applied again.
    At a cluster where that is unknown, or where another command has changed the object since, nothing is done, and the
    reason is shown; then it ends with 6.

    For example:

        ote undo 01a20751-96de-74de-9eaa-91fdf765ff6c --dry-run
        ote undo 01a20751-96de-74de-9eaa-91fdf765ff6c --on site1 --wait

    Parameters
    ----------
    id
        The command that is to be undone.
    on
        Only at these clusters.
    dry_run
        Only show what would be done.
    force
        Also where another command has changed the object since; of what is unknown nothing is touched.
    ttl
        Time to live: what a cluster has not started by then it does not start.
    wait
        Wait until every cluster is done, at most this long (60 s if no time is given).
    """
    request = {"id": id, "on": on, "force": force or None}
    async with local_api(common) as api:
        planned = await api.undo_plan(request)
        if common.for_people:
            show(plan_table(planned["targets"]))
        answer = planned
        if not dry_run and planned["summary"].get("undo"):
            answer = await api.undo({**request, "ttl": ttl, "actor": actor()})
        if common.output == "name":
            show_names([one["id"] for one in answer["commands"]])
        elif not common.for_people:
            show_data({**planned, **answer, "targets": planned["targets"]}, common.output)
        return await _outcome(api, planned, answer, dry_run, wait_seconds(wait), common)


async def _outcome(
    api: LocalApi, planned: Answer, answer: Answer, dry_run: bool, wait: float | None, common: Common
) -> Exit:
    summary = planned["summary"]
    code = Exit.REFUSED if summary.get("refused") else Exit.OK
    if dry_run:
        note(f"dry run: {counts(summary)}")
        return code
    for command in answer["commands"]:
        if common.for_people:
            show(where_to(f"{command['verb']}: command", command, "to"))
    for command in answer["commands"] if wait is not None else ():
        code = max(code, await wait_for(api, command["id"], wait))
    return code

"""`ote log`: the events of a tier's log."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from bus.errors import BadRequest
from services.cli.local_api import PAGE, TIMEOUT, LocalApi, local_api
from services.cli.options import COMMON, Common, Moment
from services.cli.printing import note, show, show_line, show_names
from services.cli.views.events import event_line

#: Seconds that a tier may hold an answer back until there are new events.
FOLLOW = 5.0
#: Events that are printed where nothing else is asked for.
LATEST = 100


async def log(
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"])] = False,
    since: Moment | None = None,
    until: Annotated[Moment | None, Parameter(name=["--until", "--at"])] = None,
    type: str | None = None,
    source: Annotated[str | None, Parameter(metavar="PATH")] = None,
    subject: str | None = None,
    limit: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    after: Annotated[int | None, Parameter(metavar="ROW", validator=Number(gte=0))] = None,
    common: Common = COMMON,
) -> None:
    """Prints events of the log as CloudEvents (-o json: one a line).

    They come in the order in which this tier stored them: the latest 100, or, with --since, all from then on. With
    --at TIME: the latest as of then.

    For example:

        ote log --limit 5
        ote log --follow --source under:root.east
        ote log --at 2026-11-23T03:00:00Z -o wide
        ote log --since 2h --until 1h --type ote.cluster.offline.v1

    Parameters
    ----------
    follow
        Go on with new events until Ctrl-C.
    since
        Only events of this time or later: 10m, 2h, or 2026-11-23T08:00:00Z.
    until
        Only events of this time or earlier. Without --since: the end of the log as it was then.
    type
        Only events of this type: ote.command.submitted.v1.
    source
        Only events of this cluster; under:root.east for a subtree.
    subject
        Only events with this NATS subject; may hold wildcards.
    limit
        At most so many: the latest, or, with --since or --after, the first.
    after
        Only events behind this row of the log: a list that was cut tells on stderr where it goes on.
    """
    if follow and until is not None:
        raise BadRequest(
            "what is still to come is not before --until", field="--follow", hint="leave one of the two out"
        )
    if since is not None and until is not None and since > until:
        raise BadRequest(f"--since {since} is later than --until {until}", field="--since", hint="change the two over")
    filters = {"since": since, "until": until, "type": type, "source": source, "subject": subject}
    async with local_api(common) as api:
        await _events(api, filters, limit, follow, after, common)


async def _events(
    api: LocalApi, filters: dict[str, Any], limit: int | None, follow: bool, after: int | None, common: Common
) -> None:
    wait: float | None = None
    left = limit or float("inf")
    if filters["since"] is None and after is None:
        after = await _latest(api, filters, limit or LATEST, common)
        if not follow:
            return
        left, wait = float("inf"), FOLLOW
    while left > 0:
        request = {**filters, "after": after, "limit": int(min(left, PAGE)), "wait": wait}
        page = await api.ask("log", request, timeout=TIMEOUT + (wait or 0))
        left -= len(page["events"])
        after = _print(page, common)
        # A page of large events holds fewer than asked for.
        if not page["events"]:
            if not follow:
                return
            wait = FOLLOW
    note(f"to go on: --after {after}")


async def _latest(api: LocalApi, filters: dict[str, Any], limit: int, common: Common) -> Any:
    """Prints the end of the log, which is read backwards. Where the log goes on."""
    pages: list[dict[str, Any]] = []
    left, before = limit, None
    while left > 0:
        request = {**filters, "limit": min(left, PAGE), "latest": True, "before": before}
        pages.append(await api.ask("log", request))
        left -= len(pages[-1]["events"])
        before = pages[-1].get("first")
        if before is None:
            break
    for page in reversed(pages):
        _print(page, common)
    return pages[0]["next"]


def _print(page: dict[str, Any], common: Common) -> Any:
    """Where the next page begins."""
    for event in page["events"]:
        _show(event, common)
    return page["next"]


def _show(event: dict[str, Any], common: Common) -> None:
    if common.output == "name":
        show_names([event["id"]])
    elif common.for_people:
        show(event_line(event, wide=common.output == "wide"))
    else:
        show_line(event, common.output)

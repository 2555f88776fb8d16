"""`ote top`: the tree, its rates and its troubles, live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import Parameter
from rich.live import Live
from rich.text import Text

from bus.errors import BadRequest, Unavailable
from bus.event import now
from services.cli.local_api import LocalApi, local_api
from services.cli.options import COMMON, Common, Span
from services.cli.printing import is_live, output_console, show, show_data, show_line
from services.cli.views.top import picture

#: Seconds between looks at least: a look reads every cluster of the tree.
SHORTEST = 0.2


async def top(
    *,
    interval: Annotated[Span, Parameter(show_default=True)] = 2.0,
    once: bool = False,
    common: Common = COMMON,
) -> None:
    """Shows a tier and the clusters below it, live: the tree, rates, lag, backlog, what is in doubt.

    Ctrl-C ends it. Rates are those between two looks.

    For example:

        ote top
        ote top --tier root.east --interval 500ms
        ote top --once -o json

    Parameters
    ----------
    interval
        The time between two looks.
    once
        Print one picture, after two looks, and end.
    """
    if interval < SHORTEST:
        raise BadRequest(f"{interval:g} s is too often", field="--interval", hint=f"at least {SHORTEST:g} s")
    async with local_api(common) as api:
        await _watch(api, interval, once, common)


async def _watch(api: LocalApi, interval: float, once: bool, common: Common) -> None:
    before = await _sample(api)
    with _shown(once, common) as tell:
        while True:
            await asyncio.sleep(interval)
            try:
                after = await _sample(api)
            except Unavailable as away:
                if once:
                    raise
                before = {**before, "trouble": away.message}
            else:
                before = {**after, "rates": rates(before, after)}
            tell({name: value for name, value in before.items() if name != "monotonic"})
            if once:
                return


async def _sample(api: LocalApi) -> dict[str, Any]:
    status = await api.ask("status")
    return {"time": now(), "monotonic": time.monotonic(), "status": status, "tree": await api.clusters()}


def rates(before: dict[str, Any], after: dict[str, Any]) -> dict[str, float]:
    """A second: events and bytes of this tier's log. A log that was made smaller has no rate."""
    passed = max(after["monotonic"] - before["monotonic"], 1e-3)
    old, new = before["status"]["log"], after["status"]["log"]
    return {what: round(max(new[what] - old[what], 0) / passed, 1) for what in ("events", "bytes")}


@contextmanager
def _shown(once: bool, common: Common) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Where pictures go: one document, a line each, plain text below plain text, or a screen that is drawn anew."""
    if not common.for_people:
        print_one = show_data if once else show_line
        yield lambda sample: print_one(sample, common.output)
    elif once or not is_live():
        yield lambda sample: show(picture(sample, datetime.now(UTC)))
    else:
        with Live(console=output_console(), screen=True, auto_refresh=False, redirect_stderr=False) as display:
            yield lambda sample: display.update(_fitting(picture(sample, datetime.now(UTC))), refresh=True)


def _fitting(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text

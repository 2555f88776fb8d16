"""Waits for a command that is already submitted: Ctrl-C or a lost tier ends the wait, never the command."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from bus.errors import Unavailable
from services.cli.exits import Exit
from services.cli.local_api import LocalApi
from services.cli.printing import note
from services.cli.progress import shown
from services.cli.tracker import Tracker

#: Seconds: one poll; a pause when the tier does not answer; between looks at who is offline.
POLL, PAUSE, LOOK = 2.0, 0.5, 5.0


async def wait_for(api: LocalApi, id: str, wait: float | None, *, live: bool | None = None) -> Exit:
    """Waits until every target is final, at most `wait` seconds (None: without end), and shows progress.

    STILL_OPEN when the time is over, UNAVAILABLE when the tier did not answer by then either."""
    tracker = Tracker(id)
    end = None if wait is None else time.monotonic() + wait
    try:
        with shown(tracker, live) as changed:
            await _follow(api, tracker, end, changed)
    except asyncio.CancelledError:
        note(f"the command goes on; to see how: ote status {id} --watch")
        raise
    if tracker.trouble:
        raise Unavailable(tracker.trouble, hint=f"the command goes on; to see how: ote status {id} --watch")
    if tracker.exit is Exit.STILL_OPEN:
        note(f"still open after {wait:g} s: {tracker.total - tracker.done} of {tracker.total}; ote status {id} --watch")
    return tracker.exit


async def _follow(api: LocalApi, tracker: Tracker, end: float | None, changed: Any) -> None:
    looked = float("-inf")
    left = POLL
    again = True
    while again or (left > 0 and (tracker.trouble or tracker.exit is Exit.STILL_OPEN)):
        try:
            poll = None if again else min(POLL, left)
            again = tracker.take(await api.command(tracker.id, after=tracker.after, wait=poll))
            if tracker.missing and time.monotonic() - looked > LOOK:
                looked = time.monotonic()
                tracker.offline = await _offline(api)
        except Unavailable as error:
            again = False
            tracker.trouble = error.message
            await asyncio.sleep(PAUSE)
        changed()
        left = POLL if end is None else end - time.monotonic()


async def _offline(api: LocalApi) -> dict[str, str]:
    """Who is offline since when, as this tier knows."""
    status = await api.ask("status")
    return {cluster["path"]: cluster["since"] for cluster in status["clusters"]["offline"]}

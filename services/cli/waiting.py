"""Waits for a command that is already submitted: Ctrl-C or a lost tier ends the wait, never the command."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from bus.errors import Unavailable
from services.cli.exits import Exit
from services.cli.local_api import LocalApi
from services.cli.printing import note
from services.cli.progress import shown
from services.cli.tracker import Tracker

#: Seconds that a tier may hold an answer back until something changes. A change between two polls is seen by
#: none of them, so the holding begins short and grows with the time in which nothing happened.
SHORTEST, LONGEST = 0.05, 2.0
#: Seconds: the pause after a poll without an answer; between looks at who is offline.
PAUSE, LOOK = 0.5, 5.0


async def wait_for(
    api: LocalApi, id: str, wait: float | None, *, live: bool | None = None, for_offline: bool = True
) -> Exit:
    """Waits until every target is final, at most `wait` seconds (None: without end), and shows progress. Unless
    `for_offline`, who is offline is not waited for.

    STILL_OPEN when the time is over; Unavailable when the tier did not answer by then either."""
    waiting = Waiting(api, Tracker(id), wait, for_offline)
    again = f"ote status {id} --watch"
    try:
        with shown(waiting.tracker, live) as changed:
            await waiting.run(changed)
    except asyncio.CancelledError:
        note(f"the command goes on; to see how: {again}")
        raise
    tracker = waiting.tracker
    if tracker.trouble:
        raise Unavailable(tracker.trouble, hint=f"the command goes on; to see how: {again}")
    if tracker.exit is Exit.STILL_OPEN and not for_offline and tracker.waits_for_offline:
        note(f"offline, and told when it is back: {', '.join(sorted(tracker.missing))}; {again}")
    elif tracker.exit is Exit.STILL_OPEN:
        note(f"the wait of {wait:g} s is over, {tracker.total - tracker.done} of {tracker.total} are open; {again}")
    return tracker.exit


class Waiting:
    """Polls a command until it is final everywhere, or the time is over."""

    def __init__(self, api: LocalApi, tracker: Tracker, wait: float | None, for_offline: bool = True) -> None:
        self.tracker = tracker
        self._for_offline = for_offline
        self._api = api
        self._end = float("inf") if wait is None else time.monotonic() + wait
        self._hold: float | None = None
        self._changed = self._looked = float("-inf")

    async def run(self, changed: Callable[[], None]) -> None:
        """Calls `changed` after each answer."""
        while True:
            try:
                more = await self._poll()
            except Unavailable as error:
                more, self.tracker.trouble = False, error.message
                await asyncio.sleep(PAUSE)
            changed()
            open = self.tracker.trouble or self.tracker.exit is Exit.STILL_OPEN
            left = self._end - time.monotonic()
            if not more and (not open or left <= 0):
                return
            if not (more or self._for_offline) and self.tracker.waits_for_offline:
                return
            quiet = time.monotonic() - self._changed
            self._hold = None if more else min(max(quiet, SHORTEST), LONGEST, left)

    async def _poll(self) -> bool:
        before = self.tracker.summary
        more = self.tracker.take(await self._api.command(self.tracker.id, after=self.tracker.after, wait=self._hold))
        if self.tracker.summary != before:
            self._changed = time.monotonic()
        if self.tracker.missing and time.monotonic() - self._looked > LOOK:
            self._looked = time.monotonic()
            status = await self._api.ask("status")
            self.tracker.offline = {cluster["path"]: cluster["since"] for cluster in status["clusters"]["offline"]}
        return more

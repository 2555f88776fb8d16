"""What those below have to catch up on is taken in slice by slice, and they take turns.

A site that was away for long ships pages as fast as they are answered. A page is a few hundred events: to look at
them, verify and write them all holds up everything else of the tier for tens of milliseconds, and many are on
their way. So one page at a time is worked on, and those who ship take turns; it is cut into slices, so that a command
waits for one slice at most; and after each slice the backlog rests for as long as that took. The answer, after the
last slice, is what paces an honest child: it has few pages on their way (`pace`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from bus.turns import Turn, Turns

#: Events of a slice: some milliseconds of work, commit included.
SLICE = 40
#: How long the backlog rests after a slice, in times of what that took, and the most (seconds).
REST, MOST_REST = 1.0, 0.02


class Intake:
    """One page at a time, slice by slice."""

    def __init__(self) -> None:
        self._turns = Turns(1)

    async def take(self, asker: str, bodies: list[bytes], work: Callable[[list[bytes]], Awaitable[None]]) -> None:
        """Returns when `work` has taken every slice of the page, in order; what it raises ends the page."""
        async with self._turn(asker):
            for start in range(0, len(bodies), SLICE):
                begin = time.perf_counter()
                await work(bodies[start : start + SLICE])
                await asyncio.sleep(min(MOST_REST, REST * (time.perf_counter() - begin)))

    @asynccontextmanager
    async def _turn(self, asker: str) -> AsyncIterator[None]:
        mine: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()

        def begin(turn: Turn) -> None:
            if mine.done():
                # Who waited has gone.
                turn.over()
            else:
                mine.set_result(turn)

        self._turns.take(asker, begin)
        try:
            await mine
            yield
        finally:
            if mine.done() and not mine.cancelled():
                mine.result().over()

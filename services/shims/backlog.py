"""What was received here, has no final, and waits in the log because the queue of work is full.

Work is held in memory, and mail can come faster than a shim works: a shim that hangs would take all the memory there
is. So the queue holds so much, and what comes beyond that stays where it is already, in the log. When there is room it
is read from there, page by page in the order of `received`, until nothing is left and mail goes to the queue directly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from bus.event import Event
from store.api import Log, TargetRow
from store.errors import StoreError

logger = structlog.get_logger()

#: Read at once.
PAGE = 64
#: After an error of the log (seconds).
RETRY = 1.0


class Backlog:
    """`take` is given each row with its command, in order, and may be given one again that the queue has or that has
    ended meanwhile. `is_full` says whether the queue takes more mail, `has_room` whether it is time to read."""

    def __init__(
        self,
        log: Log[Event],
        me: str,
        *,
        take: Callable[[TargetRow, Event], None],
        is_full: Callable[[], bool],
        has_room: Callable[[], bool],
    ) -> None:
        self._log = log
        self._me = me
        self._take = take
        self._is_full = is_full
        self._has_room = has_room
        self._place = ("", 0)
        self._passed = 0
        #: Whether it is to be read from its begin.
        self._again = True
        self._loading = asyncio.Lock()
        #: Whether there may be work that is only in the log: at the start there may.
        self.is_behind = True

    def keeps(self) -> bool:
        """Whether mail that comes now stays in the log; it will be read from there."""
        if not self.is_behind and self._is_full():
            self.is_behind = self._again = True
            logger.info("more work than the queue holds; the rest waits in the log", path=self._me)
        self._passed += self.is_behind
        return self.is_behind

    def look_again(self) -> None:
        """There may be work in the log that never came as mail: it is read from its begin."""
        self.is_behind = self._again = True

    @property
    def is_loading(self) -> bool:
        """Whether it takes from the log now."""
        return self._loading.locked()

    async def load(self) -> None:
        """Takes from the log as long as there is room; mail goes to the queue again when nothing is left."""
        async with self._loading:
            while self.is_behind and self._has_room():
                try:
                    await self._page()
                except StoreError as error:
                    logger.warning("work that waits can not be read; trying again", error=str(error))
                    await asyncio.sleep(RETRY)

    async def _page(self) -> None:
        passed = self._passed
        if self._again:
            self._again, self._place = False, ("", 0)
        # What mail was kept before now has its `received` in the log.
        await self._log.flush()
        page = await self._log.read(lambda reader: reader.unfinished(self._me, after=self._place, limit=PAGE))
        for row, event in page:
            self._place = row.received_at
            self._take(row, event)
        if len(page) < PAGE and passed == self._passed and not self._again:
            self.is_behind = False

"""The end of the log, for those who follow it: the latest events in memory, and the news of more."""

from __future__ import annotations

import asyncio
from typing import Generic

from store.api import E, Stored

KEPT = 500


class Tail(Generic[E]):
    """The latest committed events of this process, without a gap in rows, and who waits for more.
    Nothing is kept while nobody follows: events that live on cost the garbage collector more than
    reading them again costs a follower."""

    def __init__(self) -> None:
        self._latest: list[Stored[E]] = []
        self._waiting: set[asyncio.Event] = set()

    @property
    def is_followed(self) -> bool:
        """Whether anybody waits for news."""
        return bool(self._waiting)

    @property
    def last_row(self) -> int:
        """The last row that is known here; 0 if none is."""
        return self._latest[-1].row if self._latest else 0

    def push(self, filed: list[Stored[E]]) -> None:
        """Adds events that were just committed. If another process wrote between them and the last
        ones, those are forgotten: followers read across the gap from the file."""
        if not self._waiting:
            self._latest = []
            return
        if self._latest and self._latest[-1].row + 1 != filed[0].row:
            self._latest = []
        self._latest += filed
        if len(self._latest) > 2 * KEPT:
            del self._latest[:-KEPT]
        self.wake()

    def after(self, row: int) -> list[Stored[E]] | None:
        """The events after this row, or None if only the file can tell."""
        if not self._latest or row + 1 < self._latest[0].row:
            return None
        return self._latest[max(0, row + 1 - self._latest[0].row) :]

    def forget(self) -> None:
        """Another process has written: whoever follows must look into the file."""
        self._latest = []
        self.wake()

    def wake(self) -> None:
        """Tells all who wait that there may be more."""
        for news in self._waiting:
            news.set()

    def join(self) -> asyncio.Event:
        """An event that is set at each news, until `leave`."""
        news = asyncio.Event()
        self._waiting.add(news)
        return news

    def leave(self, news: asyncio.Event) -> None:
        """Ends what `join` began."""
        self._waiting.discard(news)

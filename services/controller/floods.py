"""Floods: who says more than any well-meaning cluster can is not listened to, is told of, and is cut off for a time.

What paces an honest cluster: of its own accord it sends what its log commits, a message for each commit; a backlog goes
in pages, few of which are on their way (`pace`), and its parent answers one at a time (`intake`). What is above the
limit is left aside before it is looked at: if it was honest after all, repair brings it. Who goes on for long,
and has a credential of this tier's, is cut off by that, and let in again after a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from bus import paths, subjects
from bus.client import Handler, Message
from bus.errors import OteError, Unavailable
from bus.event import Draft
from bus.types import FLOODED
from services.tier.runtime import Runtime

logger = structlog.get_logger()

#: Messages, and bytes, of one cluster that are listened to in the time between two looks: the generous limit.
MOST, MOST_BYTES = 5_000, 32_000_000
#: Seconds between two looks; so many looks in a row above the limit are a flood; after so many it is cut off, and for
#: so long (seconds).
LOOK, FLOOD, CUT_AFTER, CUT_FOR = 1.0, 2, 4, 30.0
#: So many looks in a row below the limit are its end: what comes later is told anew.
OVER = 60
#: Subjects, and clusters, of which that is remembered.
REMEMBERED = 10_000


@dataclass(slots=True)
class _Count:
    """Since the last look; how many looks in a row it was above the limit, or below it."""

    path: str
    messages: int = 0
    bytes: int = 0
    above: int = 0
    below: int = 0
    told: bool = False


class Floods:
    """Stands before the handlers of what comes from below. `is_known`: whether there is such a cluster; for what
    else is said below a child the child answers."""

    def __init__(self, runtime: Runtime, is_known: Callable[[str], bool]) -> None:
        self._runtime = runtime
        self._me = runtime.path
        self._is_known = is_known
        self._counts: dict[str, _Count] = {}
        self._of: dict[str, _Count] = {}
        #: Messages that were left aside.
        self.shed = 0

    def gate(self, path_of: Callable[[str], str], handler: Handler) -> Handler:
        """The handler, for what is not too much; `path_of` a subject says who speaks on it."""

        def on_message(message: Message) -> None:
            count = self._of.get(message.subject) or self._find(message.subject, path_of)
            count.messages += 1
            count.bytes += len(message.data)
            if count.messages > MOST or count.bytes > MOST_BYTES:
                self.shed += 1
            else:
                handler(message)

        return on_message

    def _find(self, subject: str, path_of: Callable[[str], str]) -> _Count:
        try:
            path = self._who(path_of(subject))
        except OteError:
            path = ""
        if len(self._of) >= REMEMBERED:
            self._of.clear()
        if len(self._counts) >= REMEMBERED:
            self._of.clear()
            self._counts.clear()
        count = self._of[subject] = self._counts.setdefault(path, _Count(path))
        return count

    def _who(self, path: str) -> str:
        if self._is_known(path) or not paths.is_under(path, self._me):
            return path
        return ".".join(path.split(".")[: self._runtime.depth + 2])

    async def run(self) -> None:
        """Looks for ever."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(LOOK)
            now = time.monotonic()
            for count in list(self._counts.values()):
                self._look(count, now - last)
            last = now

    def _look(self, count: _Count, seconds: float) -> None:
        messages, size = count.messages, count.bytes
        count.messages = count.bytes = 0
        if messages <= MOST and size <= MOST_BYTES:
            count.above, count.below = 0, count.below + 1
            if count.below >= OVER:
                count.told = False
            return
        count.above, count.below = count.above + 1, 0
        rate = {"messages": round(messages / seconds), "bytes": round(size / seconds)}
        if count.above >= FLOOD and not count.told:
            count.told = True
            self._tell(count.path, rate)
        if count.above == CUT_AFTER:
            self._runtime.spawn(self._cut(count.path, rate), "cut off a flood")

    def _tell(self, path: str, rate: dict[str, int], **more: float) -> None:
        """Of an amount per second."""
        logger.error("a flood", path=path or "?", **rate, **more)
        data = {"path": path, **rate, **more}
        self._runtime.append_later(Draft(FLOODED, subjects.event(FLOODED, self._me), data))

    async def _cut(self, path: str, rate: dict[str, int]) -> None:
        """Cuts a child off for a while. Who has no credential of this tier's is only not listened to."""
        own, server = self._runtime.credentials, self._runtime.server
        child = own.state.children.get(path) if own is not None else None
        if own is None or server is None or child is None:
            return
        key = child.public.cluster
        own.cut.add(key)
        try:
            await server.refresh()
            self._tell(path, rate, cut_for=CUT_FOR)
            await asyncio.sleep(CUT_FOR)
        except Unavailable as error:
            logger.error("a flood could not be cut off", path=path, error=error.message)
        finally:
            own.cut.discard(key)
        while True:
            try:
                await server.refresh()
            except Unavailable as error:
                logger.error("who was cut off is not let in yet; trying again", path=path, error=error.message)
                await asyncio.sleep(LOOK)
            else:
                logger.warning("who was cut off for a flood is let in again", path=path)
                return

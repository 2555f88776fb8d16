"""The log as people read it: CloudEvents in row order, with a long poll to follow it."""

from __future__ import annotations

import asyncio
from typing import Any

from bus import paths
from bus.event import Event
from bus.messages import LogRequest
from services.tier.runtime import Runtime
from store.api import Reader, Stored

#: Bytes of events in one answer; as JSON they are up to three times as many.
PAGE_BYTES = 300_000


class Events:
    """What `ote.local.log` says."""

    def __init__(self, runtime: Runtime) -> None:
        self._log = runtime.log

    async def read(self, request: LogRequest) -> dict[str, Any]:
        """`{"events": [CloudEvents], "next": row, "first"?: row}`; with `wait`, as soon as there is one."""
        if request.source is not None:
            paths.parse_path(request.source.removeprefix("under:"), field="source")
        after = request.after or 0
        if not request.wait:
            return _answer(*await self._page(request, after))
        try:
            async with asyncio.timeout(request.wait):
                return await self._wait(request, after)
        except TimeoutError:
            return _answer(*await self._page(request, after))

    async def _wait(self, request: LogRequest, after: int) -> dict[str, Any]:
        found, last = await self._page(request, after)
        if found:
            return _answer(found, last)
        async for _ in self._log.follow(after=last):
            found, last = await self._page(request, after)
            if found:
                break
        return _answer(found, last)

    async def _page(self, request: LogRequest, after: int) -> tuple[list[Stored[Event]], int]:
        def query(reader: Reader[Event]) -> tuple[list[Stored[Event]], int]:
            found = reader.events(
                after=after,
                before=request.before,
                limit=request.limit,
                types=(request.type,) if request.type else (),
                source=request.source,
                subject=request.subject,
                since=request.since,
                until=request.until,
                latest=bool(request.latest),
            )
            fitting = _fitting(found, latest=bool(request.latest))
            if request.latest:
                return fitting, reader.last_row()
            # A page that is not full has seen everything: the next begins behind what was looked at.
            is_cut = len(found) == request.limit or len(fitting) < len(found)
            return fitting, fitting[-1].row if is_cut else max(after, reader.last_row())

        return await self._log.read(query)


def _fitting(found: list[Stored[Event]], *, latest: bool) -> list[Stored[Event]]:
    """As many as an answer holds, at least one; of the latest the last."""
    size = 0
    for count, stored in enumerate(reversed(found) if latest else found):
        size += len(stored.event.body)
        if size > PAGE_BYTES and count:
            return found[-count:] if latest else found[:count]
    return found


def _answer(found: list[Stored[Event]], last: int) -> dict[str, Any]:
    out = {"events": [stored.event.cloudevent() for stored in found], "next": last}
    return out | ({"first": found[0].row} if found else {})

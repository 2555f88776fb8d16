"""A mark outside the log of how far it was: it tells a start from a restore (DESIGN 6.8).

`life.json` in the state directory holds the last place that this tier has written in its log, as of a few seconds ago
and of its last stop. A log in which that place is missing, or is another, was restored from a copy, cut short, or is
gone. It `waits` while a log that was lost is not back: then nothing is executed, also after another start. Shims in
processes of their own execute only while it says so.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from bus.event import Event
from bus.sync import Mark
from leafnodes.files import write_private
from store.api import Log, Reader, Stream
from store.errors import StoreError

logger = structlog.get_logger()

NAME = "life.json"
STARTED = "started.json"
#: How often it is brought up to the log (seconds).
INTERVAL = 5.0
#: How often who joins a tier looks whether it executes, while it does not (seconds).
LOOK = 0.2


@dataclass(frozen=True, slots=True)
class Marker:
    """The last place that was written, if any is known; and whether those who join the tier may execute, which they may
    not while a new log waits for its parent either."""

    mark: Mark | None = None
    waits: bool = False
    executes: bool = True

    def is_missed(self, log: Reader[Event]) -> bool:
        """Whether the log does not hold what it held when this was written."""
        if self.mark is None:
            return False
        stream = Stream(log.source, self.mark.epoch)
        found = log.stream(stream, after=self.mark.seq - 1, limit=1)
        if found and found[0].seq == self.mark.seq:
            return found[0].checksum != self.mark.checksum
        return self.mark.seq > log.floors(log.source).get(stream, 0)


def read(state: Path, path: str) -> Marker:
    """What the files say of the log of `path`; nothing, if there is none, or none that can be read."""
    known, started = _read(state / NAME, path), _read(state / STARTED, path)
    marks = [marker.mark for marker in (known, started) if marker.mark is not None]
    return replace(known, mark=max(marks, default=None))


def _read(file: Path, path: str) -> Marker:
    try:
        found = json.loads(file.read_text())
        if found["path"] != path:
            return Marker()
        mark = Mark(str(found["epoch"]), int(found["seq"]), bytes.fromhex(found["checksum"])) if found["seq"] else None
        return Marker(mark, bool(found.get("waits")), bool(found.get("executes", True)))
    except FileNotFoundError:
        return Marker()
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("the marker of the log can not be read; it is written anew", file=str(file), error=error)
        return Marker()


def write(state: Path, path: str, marker: Marker) -> None:
    """Replaces the file. Blocks."""
    said = _place(path, marker.mark) | {"waits": marker.waits, "executes": marker.executes}
    write_private(state / NAME, json.dumps(said) + "\n")


def _place(path: str, mark: Mark | None) -> dict[str, Any]:
    epoch, seq, checksum = mark or ("", 0, b"")
    return {"path": path, "epoch": epoch, "seq": seq, "checksum": checksum.hex()}


class Started:
    """Says outside the log how far it is, before that is done which can not be taken back."""

    def __init__(self, log: Log[Event], state: Path) -> None:
        self._log = log
        self._state = state
        self._last: Mark | None = None
        # In turn: an older place must not take that of a newer one.
        self._writing = asyncio.Lock()

    async def note(self) -> None:
        """Returns when all that is committed is covered. OSError or StoreError if that can not be said."""
        async with self._writing:
            mark = await _last_of(self._log)
            if mark is not None and mark != self._last:
                said = json.dumps(_place(self._log.source, mark)) + "\n"
                await asyncio.to_thread(write_private, self._state / STARTED, said)
                self._last = mark


async def _last_of(log: Log[Event]) -> Mark | None:
    event = await log.read(lambda reader: reader.latest_of(reader.source), stale=True)
    return None if event is None else Mark(event.epoch, event.seq or 0, event.checksum)


async def joined(state: Path, path: str, history: asyncio.Event) -> None:
    """Sets `history` when the tier that runs on this directory has said that its log is back."""
    while not history.is_set():
        if (await asyncio.to_thread(read, state, path)).executes:
            history.set()
        else:
            await asyncio.sleep(LOOK)


async def keep(log: Log[Event], state: Path, back: asyncio.Event, history: asyncio.Event) -> None:
    """Brings the marker up to the log for ever, and once more at the end. It waits until a log that was lost is `back`:
    a cluster that only begins does not, or it would wait for ever if it were killed, cut off, and started again; it
    executes when its `history` is there."""
    last: Marker | None = None
    try:
        while True:
            last = await _update(log, state, back, history, last)
            if history.is_set():
                await asyncio.sleep(INTERVAL)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(INTERVAL):
                        await history.wait()
    finally:
        await _update(log, state, back, history, last)


async def _update(
    log: Log[Event], state: Path, back: asyncio.Event, history: asyncio.Event, last: Marker | None
) -> Marker | None:
    """What is told of a disk that is full or a database that is away is told by others."""
    try:
        now = Marker(await _last_of(log), not back.is_set(), history.is_set())
        if now != last:
            await asyncio.to_thread(write, state, log.source, now)
        return now
    except (StoreError, OSError) as error:
        logger.warning("the marker of the log was not written", error=str(error))
        return last

"""Turns what the shims of this cluster tell of their objects into events for those above.

It works off the path of the commands: what changed is gathered for a short while and told after the results.
The changes of a shim within the log are events of the log: a place, which moves with what is told of them, says
how far it has come, so that a crash loses and doubles nothing. Any other shim is asked for its objects, after
each command and every few seconds, and only what differs from what was told last is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import structlog

from bus.errors import OteError
from bus.event import Event, now
from bus.types import ANNOUNCED, SUBMITTED
from services.shims.base import Shim
from services.shims.causes import Causes
from services.shims.job import AnyShim, Job, transactional
from services.shims.reports import Key, Reports
from services.tier.runtime import Runtime
from store.api import ObjectRow, Reader, Stored, Tx
from store.errors import StoreError

logger = structlog.get_logger()

APPLIED, DELETED = "ote.object.applied.v1", "ote.object.deleted.v1"
#: What a shim within the log writes of its objects.
CHANGES = (APPLIED, DELETED)
#: Where events name the command that led to them.
_NAMED = {APPLIED: "command_id", DELETED: "command_id", SUBMITTED: "command"}
#: Changes are gathered for so long (seconds).
DELAY = 0.2
#: A shim outside the log is asked again after so long (seconds).
AGAIN = 10.0
#: After an error (seconds).
RETRY = 1.0
#: Changes that are read at once.
PAGE = 500
#: Events between a change and the command that led to it.
STEPS = 8
_ALL = 2**31


class Observer:
    """Tells the objects of one shim. A new life of the log begins anew: all objects are told again."""

    def __init__(self, runtime: Runtime, shim: AnyShim) -> None:
        self.kind = shim.kind
        self._runtime = runtime
        self._log = runtime.log
        self._epoch = ""
        self._place = 0
        self._news = asyncio.Event()
        self._reports = Reports(runtime.path, shim.kind)
        runtime.observed.connect(self._on_events)

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            try:
                if self._epoch != self._log.epoch:
                    await self._begin()
                await self._turn()
            except (OteError, StoreError) as error:
                self._fail(error)
                await asyncio.sleep(RETRY)

    def _fail(self, error: Exception) -> None:
        logger.warning("objects are not told; trying again", shim=self.kind, error=str(error))
        self._epoch = ""

    async def _turn(self) -> None:
        """Waits for what is to be told, and tells it."""
        raise NotImplementedError

    async def _look(self) -> None:
        """Looks at all objects there are."""
        raise NotImplementedError

    def _on_events(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.type == ANNOUNCED and event.source == self._runtime.path:
                self._news.set()

    @property
    def _consumer(self) -> str:
        return f"objects {self.kind} {self._epoch}"

    async def _begin(self) -> None:
        """Takes up where it stopped in this life of the log."""
        epoch = self._epoch = self._log.epoch

        def read(reader: Reader[Event]) -> tuple[int, list[ObjectRow]]:
            told = reader.observed(self._runtime.path, limit=_ALL, gone=True)
            return reader.place(self._consumer), [row for row in told if row.epoch == epoch]

        self._place, told = await self._log.read(read)
        self._reports = Reports(self._runtime.path, self.kind, told, whole=not self._place)
        await self._look()

    async def _tell(self, place: int, *, all: bool = True) -> None:
        """Writes what is to be told, and that the changes up to this row are told."""
        drafts = self._reports.take(all=all)
        if not drafts and place == self._place:
            return

        def op(tx: Tx[Event]) -> bool:
            if tx.epoch != self._epoch:
                return False
            for draft in drafts:
                tx.append(draft)
            tx.move_place(self._consumer, place)
            return True

        if await self._log.write(op, aside=True):
            self._place = place


class LogObserver(Observer):
    """Of a shim whose objects are in the log."""

    async def start(self) -> None:
        """Takes up where it stopped. Before the first command comes, so that every change has its cause."""
        try:
            await self._begin()
        except StoreError as error:
            self._fail(error)

    def _on_events(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.type in CHANGES or event.type == ANNOUNCED:
                self._news.set()
                return

    async def _turn(self) -> None:
        await self._news.wait()
        self._news.clear()
        await asyncio.sleep(DELAY)
        await self._catch_up()

    async def _look(self) -> None:
        """The objects of one moment, after the changes that led to it; where nothing was told in this life of
        the log, who made them is history."""
        if self._place:
            await self._catch_up()
        there, row, late = await self._log.read(self._there)
        if late:
            # What changed just now is told with its cause first.
            self._news.set()
            return
        time = now()
        seen = [self._reports.see(object, time) for object in there]
        for gone in self._reports.rest([key for key in seen if key], time):
            self._reports.see(gone, time, gone=True)
        await self._tell(max(row, 1))

    def _there(self, reader: Reader[Event]) -> tuple[list[dict[str, Any]], int, bool]:
        late = bool(self._place and reader.events(after=self._place, limit=1, types=CHANGES))
        return reader.objects(), reader.last_row(), late

    async def _catch_up(self) -> None:
        while page := await self._log.read(lambda reader: reader.events(after=self._place, limit=PAGE, types=CHANGES)):
            for stored in page:
                await self._see(stored)
            await self._tell(page[-1].row)
            if len(page) < PAGE:
                return

    async def _see(self, stored: Stored[Event]) -> None:
        event = stored.event
        command = await self._command(event)
        if event.type == APPLIED:
            self._reports.see(event.data["object"], event.time, command)
        else:
            self._reports.see(_named(event.data), event.time, command, gone=True)

    async def _command(self, event: Event | None) -> str | None:
        """The command that led to a change, be it over other changes."""
        for _ in range(STEPS):
            if event is None:
                return None
            if event.type in _NAMED and isinstance(command := event.data.get(_NAMED[event.type]), str):
                return command
            cause = event.cause
            event = await self._log.read(lambda reader, cause=cause: reader.event(cause)) if cause else None  # type: ignore[misc]
        return None


class AskingObserver(Observer):
    """Of a shim outside the log, which is asked for its objects."""

    def __init__(self, runtime: Runtime, shim: Shim) -> None:
        super().__init__(runtime, shim)
        self._shim = shim
        self._causes = Causes()

    @contextmanager
    def at_work(self, job: Job) -> Iterator[None]:
        """Within, a command is carried out; afterwards it is time to look."""
        self._causes.began(job.command, job.event.data["do"].get("args") or {})
        try:
            yield
        finally:
            self._causes.ended(job.command)
            self._news.set()

    async def _turn(self) -> None:
        try:
            await asyncio.wait_for(self._news.wait(), AGAIN)
            await asyncio.sleep(DELAY)
        except TimeoutError:
            pass
        await self._look()

    async def _look(self) -> None:
        self._news.clear()
        look = self._causes.look()
        time = now()
        # What was there before the first look may have been there before any command.
        cause = look.cause if self._place else lambda object: None
        seen: list[Key] = []
        whole = False
        try:
            async for answer in self._shim.watch():
                object, gone = answer.object, answer.type == "deleted"
                key = self._reports.see(object, time, cause(object), gone=gone)
                seen += [key] if key and not gone else []
            whole = True
        except OteError as error:
            logger.debug("not all objects were told", shim=self.kind, error=str(error))
        if whole:
            for gone_object in self._reports.rest(seen, time):
                self._reports.see(gone_object, time, cause(gone_object), gone=True)
        await self._tell(1 if whole else self._place, all=whole)
        look.done()


def observers(runtime: Runtime, shims: Sequence[AnyShim]) -> dict[str, Observer]:
    """An observer for each of these shims, by kind."""
    made: dict[str, Observer] = {}
    for shim in shims:
        made[shim.kind] = LogObserver(runtime, shim) if transactional(shim) else AskingObserver(runtime, shim)  # type: ignore[arg-type]
    return made


def _named(data: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {"name": data["name"], "namespace": data["namespace"]}
    return {"apiVersion": data["apiVersion"], "kind": data["kind"], "metadata": metadata}

"""`MemoryLog`: the whole contract of a log over dictionaries.

A simulator uses it without an event loop: `apply` runs an op on top of what is not yet committed,
`commit` makes all of that lasting, `crash` loses it, and `query` answers from what is committed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Self

from store.api import Addressed, Covering, Cursor, Draft, E, Mailbox, Reader, Recorded, Sign, Stored, Stream, T, Tx
from store.lives import new_epoch, now
from store.memory.reader import MemoryReader
from store.memory.state import Fill, MemoryTables, Position, State
from store.paths import is_under
from store.projections.base import Projection
from store.projections.catalogue import projections
from store.times import Times


class MemoryTx(MemoryReader[E]):
    """`store.api.Tx`: reads, and changes that can be taken back."""

    def __init__(
        self,
        state: State[E],
        epoch: str,
        clock: Callable[[], str],
        folds: Sequence[Projection],
        epochs: Callable[[str], str],
        sign: Sign | None = None,
    ) -> None:
        super().__init__(state, epoch)
        self._epochs = epochs
        self._clock = clock
        self._folds = folds
        self._sign = sign
        self._tables = MemoryTables(state)
        self.appended: list[E] = []

    def append(self, draft: Draft[E]) -> E:
        stream = Stream(self.source, self.epoch)
        seq = self._state.streams.get(stream, Position()).top + 1 if draft.shared else None
        event = draft.seal(self.source, self.epoch, seq, self._sign)
        if event.id in self._state.ids:
            raise ValueError(f"an event with the id {event.id} is here already")
        self._file(event)
        self.appended.append(event)
        return event

    def quarantine(self, events: Iterable[E]) -> list[E]:
        quarantine, fresh = self._state.quarantine, []
        for event in events:
            if event.checksum not in quarantine:
                self._state.set(quarantine, event.checksum, event)
                fresh.append(event)
        return fresh

    def record(self, events: Iterable[E]) -> Recorded[E]:
        done: Recorded[E] = Recorded()
        state = self._state
        for event in events:
            stream = Stream(event.source, event.epoch)
            row = state.ids.get(event.id)
            if row is None and event.seq is not None:
                row = state.places.get((stream, event.seq))
            mine = stream == (self.source, self.epoch)
            if row is None and self._is_dropped(stream, event.seq):
                done.doubles += 1
            elif row is None and not mine:
                if not self._file(event) and self.quarantine([event]):
                    done.forks.append(event)
                done.new.append(event)
            elif (row and state.rows[row].event.checksum == event.checksum) or event.checksum in state.quarantine:
                done.doubles += 1
            else:
                state.set(state.quarantine, event.checksum, event)
                done.forks.append(event)
        return done

    def _is_dropped(self, stream: Stream, seq: int | None) -> bool:
        if seq is None or not is_under(stream.source, self.source):
            return False
        was_lost = stream.source == self.source and stream.epoch != self.epoch
        return not was_lost and seq <= self._state.floors.get(stream, 0)

    def _file(self, event: E) -> bool:
        """False if it is mail with a number that another has."""
        state, row = self._state, self.last_row() + 1
        state.set(state.last, "row", row)
        state.set(state.rows, row, Stored(row, event))
        state.set(state.stored_at, row, self._clock())
        state.set(state.ids, event.id, row)
        if event.seq is not None:
            stream = Stream(event.source, event.epoch)
            state.set(state.places, (stream, event.seq), row)
            if is_under(event.source, self.source):
                self._reach(state.streams, stream, event.seq, lambda n: (stream, n) in state.places)
        is_alone = True
        for entry in event.to:
            if is_under(entry.path, self.source):
                is_alone &= self._fill(event, entry.path, entry.number, row, cover=False)
        for cover in event.supersedes:
            if is_under(cover.path, self.source):
                self._fill(event, cover.path, cover.number, row, cover=True)
        for fold in self._folds:
            if event.type in fold.types:
                fold.apply(self._tables, [state.filed(row)])
        return is_alone

    def _fill(self, event: E, target: str, number: int, row: int, *, cover: bool) -> bool:
        state, box = self._state, Mailbox(event.source, event.epoch, target)
        there = state.fills.get((box, number), Fill())
        if not cover and there.event is None:
            there = there._replace(event=row)
        elif cover and (there.cover is None or (event.seq or 0) > (state.rows[there.cover].event.seq or 0)):
            there = there._replace(cover=row)
        state.set(state.fills, (box, number), there)
        self._reach(state.boxes, box, number, lambda n: (box, n) in state.fills)
        return cover or there.event == row

    def _reach(self, positions: dict[Any, Position], key: Any, number: int, filled: Callable[[int], bool]) -> None:
        held, top = positions.get(key, Position())
        held = max(held, self._state.floors.get(key, 0))
        while filled(held + 1):
            held += 1
        self._state.set(positions, key, Position(held, max(top, number, held)))

    def number(self, target: str) -> int:
        box = Mailbox(self.source, self.epoch, target)
        held, top = self._state.boxes.get(box, Position())
        self._state.set(self._state.boxes, box, Position(held, top + 1))
        return top + 1

    def drop(self, events: Sequence[Stored[E]], *, through: int) -> None:
        state = self._state
        for row, event in events:
            stream = Stream(event.source, event.epoch)
            for there, key in ((state.rows, row), (state.stored_at, row), (state.ids, event.id)):
                state.drop(there, key)
            if event.seq is not None:
                state.drop(state.places, (stream, event.seq))
                self._raise_floor(stream, event.seq)
            entries: list[Addressed | Covering] = [*event.to, *event.supersedes]
            for each in entries:
                if is_under(each.path, self.source):
                    self._unfile(Mailbox(event.source, event.epoch, each.path), each.number, row)

    def _unfile(self, box: Mailbox, number: int, row: int) -> None:
        fills = self._state.fills
        there = fills.get((box, number), Fill())
        there = Fill(None if there.event == row else there.event, None if there.cover == row else there.cover)
        if there == Fill():
            self._state.drop(fills, (box, number))
        else:
            self._state.set(fills, (box, number), there)
        self._raise_floor(box, number)

    def _raise_floor(self, key: Stream | Mailbox, number: int) -> None:
        self._state.set(self._state.floors, key, max(number, self._state.floors.get(key, 0)))

    def skip(self, streams: Mapping[Stream, int], mailboxes: Mapping[Mailbox, int]) -> None:
        state = self._state
        for stream, seq in streams.items():
            if is_under(stream.source, self.source):
                self._raise_floor(stream, seq)
                self._reach(state.streams, stream, 0, lambda n, s=stream: (s, n) in state.places)  # type: ignore[misc]
        for box, number in mailboxes.items():
            if is_under(box.target, self.source):
                self._raise_floor(box, number)
                self._reach(state.boxes, box, 0, lambda n, b=box: (b, n) in state.fills)  # type: ignore[misc]

    def begin_life(self, above: str) -> str:
        self.epoch = self._epochs(max(above, self.epoch))
        return self.epoch

    def move_cursor(self, origin: str, cursor: Cursor) -> None:
        self._state.set(self._state.cursors, origin, cursor)

    def confirm(self, neighbour: str, held: Mapping[Stream, int]) -> None:
        for stream, seq in held.items():
            self._state.set(self._state.neighbours, (neighbour, stream), seq)

    def move_place(self, consumer: str, row: int) -> None:
        self._state.set(self._state.consumers, consumer, row)


class MemoryLog(Generic[E]):
    """`store.api.Log` in memory, for one process."""

    def __init__(
        self,
        source: str,
        *,
        epoch: str | None = None,
        clock: Callable[[], str] = now,
        epochs: Callable[[str], str] = new_epoch,
        sign: Sign | None = None,
    ) -> None:
        self._source = source
        self._epoch = self._lasting_epoch = epoch or epochs("")
        self._clock = clock
        self._sign = sign
        self._epochs = epochs
        self._folds = projections(source)
        self._state: State[E] = State(source)
        self._appended: list[E] = []
        self._listeners: list[Callable[[list[E]], None]] = []
        self._news: set[asyncio.Event] = set()
        self._written: list[tuple[asyncio.Future[Any], Any]] = []
        self.commits = Times()

    @property
    def source(self) -> str:
        return self._source

    @property
    def epoch(self) -> str:
        return self._epoch

    def apply(self, op: Callable[[Tx[E]], T]) -> T:
        """Runs op on top of what is not committed; an op that raises leaves nothing behind."""
        mark = self._state.mark
        tx = MemoryTx(self._state, self._epoch, self._clock, self._folds, self._epochs, self._sign)
        try:
            result = op(tx)
        except BaseException:
            self._state.roll_back(mark)
            raise
        self._appended += tx.appended
        self._epoch = tx.epoch
        return result

    def commit(self) -> list[E]:
        """Makes lasting what was applied, and returns the events of this tier's own in it."""
        changed, appended = self._state.mark, self._appended
        self._state.commit()
        self._lasting_epoch = self._epoch
        self._appended = []
        if appended:
            for listener in self._listeners:
                listener(appended)
        if changed:
            for news in self._news:
                news.set()
        return appended

    def copy(self) -> MemoryLog[E]:
        """A log of its own with all that is committed here: a backup."""
        twin: MemoryLog[E] = MemoryLog(
            self._source, epoch=self._lasting_epoch, clock=self._clock, epochs=self._epochs, sign=self._sign
        )
        with self._state.committed():
            twin._state = self._state.copy()
        return twin

    def crash(self) -> None:
        """Loses what was applied and not committed."""
        self._state.roll_back(0)
        self._epoch = self._lasting_epoch
        self._appended = []

    def query(self, query: Callable[[Reader[E]], T]) -> T:
        """The query's answer over what is committed."""
        with self._state.committed():
            return query(MemoryReader(self._state, self._epoch))

    def write(
        self,
        op: Callable[[Tx[E]], T],
        *,
        keep: bool = False,
        lazy: bool = False,
        aside: bool = False,
        long: bool = False,
    ) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        try:
            result = self.apply(op)
        except Exception as error:
            done.set_exception(error)
            return done
        if not self._written:
            # As in a file, what is written in one turn of the loop is committed together.
            loop.call_soon(self._end_turn)
        self._written.append((done, result))
        return done

    def _end_turn(self) -> None:
        begin = time.perf_counter()
        self.commit()
        self.commits.add(time.perf_counter() - begin)
        written, self._written = self._written, []
        for done, result in written:
            if not done.done():
                done.set_result(result)

    async def read(self, query: Callable[[Reader[E]], T], *, stale: bool = False) -> T:
        return self.query(query)

    async def flush(self) -> None:
        self.commit()

    async def follow(self, *, after: int = 0, types: Sequence[str] = ()) -> AsyncIterator[list[Stored[E]]]:
        news = asyncio.Event()
        self._news.add(news)
        try:
            while True:
                news.clear()
                batch, after = self.query(lambda log: (log.events(after=after, types=types), log.last_row()))  # noqa: B023
                if batch:
                    after = batch[-1].row
                    yield batch
                else:
                    await news.wait()
        finally:
            self._news.discard(news)

    def on_commit(self, listener: Callable[[list[E]], None]) -> None:
        self._listeners.append(listener)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.commit()

"""The writer's image of the log: what it holds in memory of positions, and what it has yet to write.

Within a transaction, events and records gather here and are written together: before a query that
must see them, and at the end. Between transactions the positions stay known, as long as no other
process has written (`data_version` tells).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from store.api import Cursor, E, Entry, Stored
from store.lives import new_epoch, now
from store.paths import is_under
from store.projections.base import Filed, Table
from store.sql import queries, sqlite
from store.sql.dense import Holes
from store.sql.projector import Projector
from store.sql.reader import Session
from store.sql.records import BOXES, CURSORS, FILLS, LIVES, STREAMS, Box, CursorPosition, Fill, Life, StreamPosition
from store.sql.rows import SqlRows
from store.sql.schema import EVENTS
from store.sql.statements import Inserts, Lookups

R = TypeVar("R")

_COLUMNS = (
    "row", "id", "source", "epoch", "seq", "type", "subject", "time",
    "cause", "actor", "expiresat", "body", "checksum", "stored_at",
)  # fmt: skip
_PLACE = ("source", "epoch", "seq")
_WALK = 500


class Ledger(Generic[E]):
    """Begins, gathers, writes and commits; used by one thread, whose session it is."""

    def __init__(self, session: Session, source: str, projector: Projector) -> None:
        self.session = session
        self.source = source
        self.epoch = ""
        self.last_row = 0
        self.stored_at = ""
        self.changes = 0
        """How often anything was changed; an op that raised and did not move it left nothing behind."""
        self.filed: list[Stored[E]] = []
        """The events of this transaction."""
        self.fresh: dict[str, E] = {}
        """The same by id."""
        self._version = -1
        self._next_box = 1
        self._buffer: list[tuple[Any, ...]] = []
        self._allotted: set[tuple[int, int]] = set()
        self._cursors: dict[str, Cursor] | None = None
        self._unfolded: list[Filed] = []
        self._tables: dict[str, SqlRows[Any]] = {}
        self._holes = Holes()
        self.projector = projector
        dialect = session.texts.dialect
        self._inserts = Inserts(EVENTS, _COLUMNS, dialect, replace=False)
        self._checksums = Lookups(EVENTS, ("id", "checksum"), ("id",), dialect)
        self._places = Lookups(EVENTS, _PLACE, _PLACE, dialect)

    def rows(self, table: Table[R]) -> SqlRows[R]:
        """The records of one table."""
        try:
            return self._tables[table.name]
        except KeyError:
            found = self._tables[table.name] = SqlRows(table, self.session.cursor, self.session.texts.dialect)
            return found

    def begin(self) -> None:
        """Takes the write lock, and forgets what another process may have changed."""
        self.session.cursor.execute(sqlite.BEGIN_WRITE)
        self.stored_at = now()
        version = sqlite.data_version(self.session.cursor)
        if version != self._version:
            self._drop()
            self.last_row = sqlite.last_row(self.session.cursor)
            self._next_box = (self.session.one(queries.LAST_BOX)[0] or 0) + 1
            self.epoch = self.session.one(queries.LAST_LIFE)[0] or ""
            self._version = version

    def fold(self) -> None:
        """Brings the projections up to the last event, in memory."""
        if self._unfolded:
            filed, self._unfolded = self._unfolded, []
            self.projector.fold(self, filed)

    def flush(self) -> None:
        """Writes what has gathered, so that queries see it."""
        self._write_events()
        self.fold()
        for rows_of_table in self._tables.values():
            rows_of_table.flush()

    def _write_events(self) -> None:
        if self._buffer:
            rows, self._buffer = self._buffer, []
            self._inserts.run(self.session.cursor, rows)

    def commit(self) -> None:
        """Ends the transaction, durably."""
        self.session.cursor.execute("COMMIT")
        self._clear()
        for table in self._tables.values():
            table.trim()

    def roll_back(self) -> None:
        """Ends the transaction, if there is one, as if it had not been."""
        self._drop()
        self._version = -1
        self.session.connection.connection.rollback()

    def _clear(self) -> None:
        self.filed, self.fresh, self._allotted = [], {}, set()

    def _drop(self) -> None:
        self._clear()
        self._buffer, self._unfolded, self._cursors = [], [], None
        self._holes.drop()
        for table in self._tables.values():
            table.drop()

    def checksums(self, events: Iterable[Entry]) -> dict[str, bytes]:
        """The checksums of those events that were here before this transaction, by id."""
        return dict(self._checksums.run(self.session.cursor, ((event.id,) for event in events)))

    def taken(self, events: Iterable[Entry]) -> set[tuple[str, str, int | None]]:
        """Those places (source, epoch, seq) of these events where there is an event already."""
        suspects = [(e.source, e.epoch, e.seq) for e in events if e.seq is not None and not self._is_open(e, e.seq)]
        if not suspects:
            return set()
        self._write_events()
        return set(self._places.run(self.session.cursor, suspects))

    def _is_open(self, event: Entry, seq: int) -> bool:
        position = self.stream(event.source, event.epoch)
        return self._holes.is_open((event.source, event.epoch), position, seq)

    def stream(self, source: str, epoch: str) -> StreamPosition:
        """The position of a stream; a new one if it is not known."""
        return self.rows(STREAMS).get(source, epoch) or StreamPosition(source, epoch)

    def file(self, event: E) -> None:
        """Stores an event whose id and place are free."""
        self.changes += 1
        if event.seq is not None:
            self._count(event, event.seq)
        self.last_row += 1
        row = self.last_row
        self._buffer.append(
            (
                row, event.id, event.source, event.epoch, event.seq, event.type, event.subject, event.time,
                event.cause, event.actor, event.expiresat, event.body, event.checksum, self.stored_at,
            )
        )  # fmt: skip
        self.filed.append(Stored(row, event))
        self.fresh[event.id] = event
        self._unfolded.append(Filed(row, event, self.stored_at))
        if event.to or event.supersedes:
            self._deliver(event, row)

    def _count(self, event: Entry, seq: int) -> None:
        stream = self.stream(event.source, event.epoch)
        if is_under(event.source, self.source):
            self._holes.reach((event.source, event.epoch), stream, seq, lambda n: self._seqs_above(stream, n))
        else:
            stream.top = max(stream.top, seq)
        self.rows(STREAMS).put(stream)

    def begin_life(self, above: str) -> None:
        """Begins a life after all that this log has had, and after `above`."""
        self.changes += 1
        self.epoch = new_epoch(max(above, self.epoch))
        self.rows(LIVES).put(Life(self.epoch, self.source, self.stored_at))

    def cursors(self) -> dict[str, Cursor]:
        """The cursor for each origin."""
        if self._cursors is None:
            self.flush()
            rows = self.session.all(queries.CURSORS)
            self._cursors = {origin: Cursor(epoch, number) for origin, epoch, number in rows}
        return self._cursors

    def move_cursor(self, origin: str, cursor: Cursor) -> None:
        """Sets the cursor for an origin."""
        self.changes += 1
        self.cursors()[origin] = cursor
        self.rows(CURSORS).put(CursorPosition(origin, *cursor))

    def _seqs_above(self, stream: StreamPosition, seq: int) -> list[int]:
        self.flush()
        rows = self.session.all(queries.SEQS_ABOVE, stream.source, stream.epoch, seq, _WALK)
        return [above for (above,) in rows]

    def box(self, origin: str, epoch: str, target: str) -> Box:
        """A mailbox; a new one if it is not known."""
        boxes = self.rows(BOXES)
        box = boxes.get(origin, epoch, target)
        if box is None:
            box = Box(origin, epoch, target, self._next_box)
            self._next_box += 1
            boxes.put(box)
        return box

    def allot(self, target: str) -> int:
        """The next number of this log's own mailbox for a target."""
        self.changes += 1
        box = self.box(self.source, self.epoch, target)
        box.top += 1
        self.rows(BOXES).put(box)
        self._allotted.add((box.id, box.top))
        return box.top

    def _deliver(self, event: Entry, row: int) -> None:
        to = [(a.path, a.number) for a in event.to if is_under(a.path, self.source)]
        covers = [(c.path, c.number) for c in event.supersedes if is_under(c.path, self.source)]
        self.rows(BOXES).load((event.source, event.epoch, path) for path, _ in (*to, *covers))
        for path, number in to:
            box = self.box(event.source, event.epoch, path)
            fill = self._fill(box, number)
            if fill.event is None:
                fill.event = row
            self.rows(FILLS).put(fill)
        for path, number in covers:
            fill = self._fill(self.box(event.source, event.epoch, path), number)
            if fill.cover is None or (event.seq or 0) > (fill.cover_seq or 0):
                fill.cover, fill.cover_seq = row, event.seq or 0
            self.rows(FILLS).put(fill)

    def _fill(self, box: Box, number: int) -> Fill:
        """What is at a number, or an empty fill at a new one."""
        fill = None
        if number <= box.top and (box.id, number) not in self._allotted:
            fill = self.rows(FILLS).get(box.id, number)
        if fill is None:
            fill = Fill(box.id, number)
            self._holes.reach(box.id, box, number, lambda n: self._numbers_above(box, n))
            self.rows(BOXES).put(box)
        return fill

    def _numbers_above(self, box: Box, number: int) -> list[int]:
        self.flush()
        return [above for (above,) in self.session.all(queries.NUMBERS_ABOVE, box.id, number, _WALK)]

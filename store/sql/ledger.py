"""The writer's image of the log: what it holds in memory of positions, and what it has yet to write.

Within a transaction, events and records gather here and are written together: before a query that
must see them, and at the end. What follows from the events (positions, mailboxes, projections) may be
written by a later transaction: a record of how far it goes lets whoever begins next make up the rest from
the events. Between transactions all of it stays known, as long as no other process has written
(`begin_write` tells).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from store.api import Cursor, Draft, E, Entry, Sign, Stored
from store.lives import new_epoch, now
from store.paths import is_under
from store.projections.base import Filed, Table
from store.sql import queries
from store.sql.backend import BUSY_SECONDS, Session
from store.sql.dense import Holes
from store.sql.mailroom import Mailroom
from store.sql.projector import Projector
from store.sql.records import (
    BOXES,
    CURSORS,
    FILLS,
    FLOORS,
    LIVES,
    PROJECTIONS,
    STATED,
    STREAMS,
    CursorPosition,
    Floor,
    Life,
    ProjectionPosition,
    StreamPosition,
)
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
_POSITIONS, _POSITIONS_VERSION = "positions", 1


class Ledger(Generic[E]):
    """Begins, gathers, writes and commits; used by one thread, whose session it is."""

    def __init__(self, session: Session, source: str, projector: Projector, sign: Sign | None = None) -> None:
        self.session = session
        self.database = session.database
        self.source = source
        self.epoch = ""
        self.last_row = 0
        self.is_open = False
        """Whether a transaction has begun."""
        self.stored_at = ""
        self.changes = 0
        """How often anything was changed; an op that raised and did not move it left nothing behind."""
        self.filed: list[Stored[E]] = []
        """The events of this transaction."""
        self.fresh: dict[str, E] = {}
        """The same by id."""
        self.projector = projector
        self._sign = sign
        self.careful = False
        self._version = -1
        self._buffer: list[tuple[Any, ...]] = []
        self._unfolded: list[Filed] = []
        self._base = 0
        self.is_behind = True
        """Whether what follows from the events of this or an earlier transaction is not in the file yet."""
        self._cursors: dict[str, Cursor] | None = None
        self._tables: dict[str, SqlRows[Any]] = {}
        self._stated = [self.rows(table) for table in STATED]
        self._streams = self.rows(STREAMS)
        self._holes = Holes()
        self._mailroom = Mailroom(self)
        dialect = session.texts.dialect
        self._inserts = Inserts(EVENTS, _COLUMNS, dialect, replace=False)
        self._checksums = Lookups(EVENTS, ("id", "checksum"), ("id",), dialect)
        self._places = Lookups(EVENTS, _PLACE, _PLACE, dialect)

    def rows(self, table: Table[R]) -> SqlRows[R]:
        """The records of one table."""
        try:
            return self._tables[table.name]
        except KeyError:
            found = self._tables[table.name] = SqlRows(table, self.session)
            return found

    # The transaction.

    def begin_at_once(self) -> bool:
        """The same as `begin`, if no other process is writing. False if one is, and nothing has happened."""
        try:
            self.begin(patience=0)
        except self.database.errors as error:
            if self.database.is_busy(error):
                return False
            raise
        return True

    def begin(self, patience: float = BUSY_SECONDS) -> None:
        """Takes the write lock, and forgets what another process may have changed."""
        version = self.session.begin_write(patience)
        self.is_open = True
        self.stored_at = now()
        if version != self._version:
            self._drop()
            self.last_row = self.session.last_row()
            self.epoch = self.session.one(queries.LAST_LIFE)[0] or ""
            self._version = version
            self._base = self.last_row
            self._make_up_positions()

    def _make_up_positions(self) -> None:
        """Counts and delivers the events of which the positions in the file do not tell yet."""
        known = self.rows(PROJECTIONS).get(_POSITIONS)
        for batch in self.projector.batches(self.session, known.row if known else 0, self.last_row):
            for filed in batch:
                self.refile(filed.row, filed.event)

    def empty_positions(self) -> None:
        """Forgets positions and mailboxes, also in the file, but for what was compacted away; whoever calls this
        refiles all events."""
        positions: tuple[Table[Any], ...] = (STREAMS, BOXES, FILLS)
        for table in positions:
            self.rows(table).empty()
        self._holes.drop()
        self._mailroom.drop()
        for floor in self.session.all(queries.FLOORS):
            self._begin_at(Floor(*floor))

    def fold(self, only: str | None = None) -> None:
        """Brings the projections, or only one, up to the last event, in memory. Events that are not among
        the unfolded, because another process wrote them or this one stopped before, are read from the file."""
        if only is not None:
            self.projector.fold(self, self._base, self._unfolded, only)
            return
        filed, self._unfolded = self._unfolded, []
        base, self._base = self._base, self.last_row
        self.projector.fold(self, base, filed)

    def flush(self) -> None:
        """Writes what has gathered and all that follows from it, so that queries see it."""
        if self.is_behind:
            self.fold()
            self.rows(PROJECTIONS).put(ProjectionPosition(_POSITIONS, _POSITIONS_VERSION, self.last_row))
        self.spill()
        self.is_behind = False

    def spill(self) -> None:
        """Writes records as they are in memory, without saying how far they go: it can be made up again."""
        self._write_events()
        for table in self._tables.values():
            table.flush()

    def write(self) -> None:
        """Writes what has gathered and follows from nothing else."""
        self._write_events()
        for table in self._stated:
            table.flush()

    @property
    def unfolded(self) -> int:
        """How many events wait in memory to be folded."""
        return len(self._unfolded)

    def _write_events(self) -> None:
        if self._buffer:
            rows, self._buffer = self._buffer, []
            self._inserts.run(self.session.cursor, rows)

    def commit(self) -> None:
        """Ends the transaction, durably."""
        self.session.commit(self.last_row if self.filed else 0)
        self.is_open = False
        self._clear()
        for table in self._tables.values():
            table.trim()

    def roll_back(self) -> None:
        """Ends the transaction, if there is one, as if it had not been."""
        self._drop()
        self._version = -1
        self.is_open = False
        self.session.roll_back()

    def _clear(self) -> None:
        self.filed, self.fresh = [], {}
        self._mailroom.clear()

    def _drop(self) -> None:
        self._clear()
        self._buffer, self._unfolded, self._cursors = [], [], None
        self.is_behind = True
        self._holes.drop()
        self._mailroom.drop()
        for table in self._tables.values():
            table.drop()

    # What is here.

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

    def is_free(self, event: Entry) -> bool:
        """Whether no event is known to have this one's place, and nothing speaks for its id being here: two
        events with one id are a fork, and so rare that the database finds them (see `with_care`)."""
        return not self.careful and event.seq is not None and self._is_open(event, event.seq)

    @contextmanager
    def with_care(self) -> Iterator[None]:
        """Within, every id is looked up."""
        self.careful = True
        try:
            yield
        finally:
            self.careful = False

    def _is_open(self, event: Entry, seq: int) -> bool:
        position = self._stream(event.source, event.epoch)
        return self._holes.is_open((event.source, event.epoch), position, seq)

    def _stream(self, source: str, epoch: str) -> StreamPosition:
        return self._streams.get(source, epoch) or StreamPosition(source, epoch)

    def cursors(self) -> dict[str, Cursor]:
        """The cursor for each origin."""
        if self._cursors is None:
            self.write()
            rows = self.session.all(queries.CURSORS)
            self._cursors = {origin: Cursor(epoch, number) for origin, epoch, number in rows}
        return self._cursors

    # What changes.

    def append(self, draft: Draft[E]) -> E:
        """Seals a draft at the next place of this log's own stream, and stores it."""
        if not draft.shared:
            event = draft.seal(self.source, self.epoch, None)
            self.changes += 1
        else:
            own = self._stream(self.source, self.epoch)
            event = draft.seal(self.source, self.epoch, own.top + 1, self._sign)
            self.changes += 1
            own.held = own.top = own.top + 1
            self._streams.put(own)
        self._store(event)
        return event

    def file(self, event: E) -> bool:
        """Stores an event of another source, or of another life, whose id and place are free. False if it is mail with
        a number that another has."""
        self.changes += 1
        if event.seq is not None:
            self._count(event, event.seq)
        return self._store(event)

    def refile(self, row: int, event: Entry) -> None:
        """Counts and delivers an event that is stored already, after positions and mailboxes were
        emptied; in row order."""
        if event.seq is not None:
            self._count(event, event.seq)
        if event.to or event.supersedes:
            self._mailroom.deliver(event, row)

    def _store(self, event: E) -> bool:
        row = self.last_row = self.last_row + 1
        self._buffer.append(
            (
                row, event.id, event.source, event.epoch, event.seq, event.type, event.subject, event.time,
                event.cause, event.actor, event.expiresat, event.body, event.checksum, self.stored_at,
            )
        )  # fmt: skip
        self.filed.append(Stored(row, event))
        self.fresh[event.id] = event
        if event.type in self.projector.types:
            self._unfolded.append(Filed(row, event, self.stored_at))
        self.is_behind = True
        return not (event.to or event.supersedes) or self._mailroom.deliver(event, row)

    def _count(self, event: Entry, seq: int) -> None:
        stream = self._stream(event.source, event.epoch)
        if seq <= stream.held:
            return  # counted before this process stopped
        if not is_under(event.source, self.source):
            stream.top = max(stream.top, seq)
        elif stream.top < seq == stream.held + 1:
            stream.held = stream.top = seq
        else:
            self._holes.reach((event.source, event.epoch), stream, seq, lambda n: self._seqs_above(stream, n))
        self._streams.put(stream)

    def _seqs_above(self, stream: StreamPosition, seq: int) -> list[int]:
        self._write_events()
        rows = self.session.all(queries.SEQS_ABOVE, stream.source, stream.epoch, seq, _WALK)
        return [above for (above,) in rows]

    def raise_floor(self, source: str, epoch: str, target: str, number: int) -> None:
        """What is missing up to this number of a stream or mailbox was compacted away."""
        self.changes += 1
        floors = self.rows(FLOORS)
        known = floors.get(source, epoch, target)
        if known is None or known.number < number:
            floors.put(Floor(source, epoch, target, number))

    def skip(self, source: str, epoch: str, target: str, number: int) -> None:
        """The same, and it counts as held from now on."""
        self.raise_floor(source, epoch, target, number)
        self._begin_at(Floor(source, epoch, target, number))

    def _begin_at(self, floor: Floor) -> None:
        if floor.target:
            self._mailroom.skip(floor.source, floor.epoch, floor.target, floor.number)
            return
        stream = self._stream(floor.source, floor.epoch)
        if is_under(floor.source, self.source):
            key = (floor.source, floor.epoch)
            self._holes.advance(key, stream, floor.number, lambda n: self._seqs_above(stream, n))
        stream.top = max(stream.top, floor.number)
        self._streams.put(stream)

    def is_dropped(self, event: Entry) -> bool:
        """Whether an event that is not here was compacted away. Of this log's own earlier lives anything may be wanted
        that comes back: what is missing there may be lost."""
        if event.seq is None or not is_under(event.source, self.source):
            return False
        if event.source == self.source and event.epoch != self.epoch:
            return False
        floor = self.rows(FLOORS).get(event.source, event.epoch, "")
        return floor is not None and event.seq <= floor.number

    def unfile(self, row: int, event: E) -> None:
        """Takes a stored event out of the mailboxes, and raises the floors over it, before it is deleted."""
        if event.seq is not None:
            self.raise_floor(event.source, event.epoch, "", event.seq)
        for target, number in self._mailroom.unfile(event, row):
            self.raise_floor(event.source, event.epoch, target, number)

    def allot(self, target: str) -> int:
        """The next number of this log's own mailbox for a target."""
        self.changes += 1
        return self._mailroom.allot(self.source, self.epoch, target)

    def begin_life(self, above: str) -> None:
        """Begins a life after all that this log has had, and after `above`."""
        self.changes += 1
        self.epoch = new_epoch(max(above, self.epoch))
        self.rows(LIVES).put(Life(self.epoch, self.source, self.stored_at))

    def move_cursor(self, origin: str, cursor: Cursor) -> None:
        """Sets the cursor for an origin."""
        self.changes += 1
        self.cursors()[origin] = cursor
        self.rows(CURSORS).put(CursorPosition(origin, *cursor))

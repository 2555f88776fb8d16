"""What projections tell from events that were compacted away, kept beside the log.

Before an event is deleted, every projection's fold runs over it a second time, into records of their own: the
projection's state as of a row. A rebuild begins with these, and folds the events after that row. So the events
up to there, gone or not, are needed for no projection any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from typing import Any, Generic, Protocol, TypeVar

import msgpack

from store.projections.base import Filed, Projection, Table
from store.sql import queries
from store.sql.backend import Session
from store.sql.records import PLACES, SNAPSHOTS, Place, Snapshot
from store.sql.rows import SqlRows

R = TypeVar("R")

BATCH = 500


class Desk(Protocol):
    """What snapshots need of the ledger."""

    session: Session

    def rows(self, table: Table[R]) -> SqlRows[R]: ...
    def spill(self) -> None: ...


class SnapshotRows(Generic[R]):
    """`store.projections.base.Rows` over the records that are kept beside the log."""

    def __init__(self, kept: SqlRows[Snapshot], table: Table[R]) -> None:
        self._kept = kept
        self._table = table

    def get(self, *key: str) -> R | None:
        found = self._kept.get(self._table.name, msgpack.packb(key))
        return None if found is None else record_of(self._table, found.record)

    def load(self, keys: Iterable[tuple[str, ...]]) -> None:
        self._kept.load((self._table.name, msgpack.packb(key)) for key in keys)

    def put(self, record: R) -> None:
        key = tuple(getattr(record, name) for name in self._table.key)
        packed = msgpack.packb(asdict(record))  # type: ignore[call-overload]
        self._kept.put(Snapshot(self._table.name, msgpack.packb(key), packed))

    def remove(self, *key: str) -> None:
        self._kept.remove(self._table.name, msgpack.packb(key))


class SnapshotTables:
    """`store.projections.base.Tables` of the records that are kept beside the log."""

    def __init__(self, kept: SqlRows[Snapshot]) -> None:
        self._kept = kept

    def rows(self, table: Table[R]) -> SnapshotRows[R]:
        return SnapshotRows(self._kept, table)


def record_of(table: Table[R], packed: bytes) -> R:
    """The record in these bytes. An earlier version of the projection may have written it: what it did not know
    has its default, what is known no more is left out."""
    known: dict[str, Any] = msgpack.unpackb(packed)
    names = [each.name for each in fields(table.record)]  # type: ignore[arg-type]
    return table.record(**{name: known[name] for name in names if name in known})


def take(desk: Desk, projection: Projection, batches: Iterable[list[Filed]], through: int) -> None:
    """Folds these events, which come after those that the snapshot tells of, up to the row `through`."""
    tables = SnapshotTables(desk.rows(SNAPSHOTS))
    for batch in batches:
        projection.apply(tables, [filed for filed in batch if filed.event.type in projection.types])
        desk.spill()
        desk.rows(SNAPSHOTS).trim()
    if through > told(desk, projection):
        desk.rows(PLACES).put(Place(_consumer(projection), through))


def told(desk: Desk, projection: Projection) -> int:
    """Up to which row the projection's snapshot tells; 0 if there is none."""
    place = desk.rows(PLACES).get(_consumer(projection))
    return place.row if place is not None else 0


def restored(session: Session, table: Table[R]) -> Iterator[list[R]]:
    """The records of a table's snapshot."""
    after = b""
    while rows := session.all(queries.SNAPSHOTS, table.name, after, BATCH):
        yield [record_of(table, record) for _, record in rows]
        after = rows[-1][0]


def _consumer(projection: Projection) -> str:
    return f"{queries.SNAPSHOT_OF}{projection.name}"

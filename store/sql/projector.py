"""Runs the projections over the events of a log.

A projection's records and its position move together, in the transaction that wrote the events, or
in a later one of whoever writes next: it always works on from its own position, so that events which
another program wrote are not skipped.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Protocol, TypeVar

import sqlalchemy as sa

from store.api import Entry
from store.projections.base import Filed, Projection, Table
from store.sql import queries
from store.sql.backend import Session
from store.sql.records import PROJECTIONS, ProjectionPosition
from store.sql.rows import SqlRows
from store.sql.schema import RECORD_TABLES
from store.sql.snapshots import restored, told

R = TypeVar("R")

BATCH = 500
SPILLED = 10
"""Batches after which records are written that have changed: what follows on a command soon is written with it."""

Progress = Callable[[int, int], None]
"""Called with (rows done, rows in all)."""

_Page = list[tuple[int, str, bytes, str]]
"""Rows of events: number, type, body, and when it was stored."""


class Desk(Protocol):
    """What the projector needs of the ledger."""

    session: Session
    last_row: int

    def rows(self, table: Table[R]) -> SqlRows[R]: ...
    def flush(self) -> None: ...
    def spill(self) -> None: ...


class Projector:
    """All projections of one log."""

    def __init__(self, projections: Sequence[Projection], decode: Callable[[bytes], Entry]) -> None:
        self.projections = projections
        self.types = frozenset[str]().union(*(projection.types for projection in projections))
        self._decode = decode

    def fold(self, desk: Desk, base: int, fresh: Sequence[Filed], only: str | None = None) -> None:
        """Folds the events that were filed: `fresh` are those after the row `base`, in so far as any
        projection wants them; for all projections, or only one."""
        positions = desk.rows(PROJECTIONS)
        for projection in self.projections:
            if only not in (None, projection.name):
                continue
            position = positions.get(projection.name) or ProjectionPosition(projection.name, projection.version, 0)
            if position.row < base:
                self._catch_up(desk, projection, position, base)
            new = fresh[bisect_right(fresh, position.row, key=itemgetter(0)) :]
            wanted = [filed for filed in new if filed.event.type in projection.types]
            if wanted:
                projection.apply(desk, wanted)
            position.row = desk.last_row
            positions.put(position)

    def _catch_up(
        self,
        desk: Desk,
        projection: Projection,
        position: ProjectionPosition,
        last: int,
        progress: Progress | None = None,
    ) -> None:
        start = position.row
        for number, page in enumerate(_pages(desk.session, position.row, last), 1):
            projection.apply(desk, self._filed(page, projection.types))
            position.row = page[-1][0]
            desk.rows(PROJECTIONS).put(position)
            if number % SPILLED == 0:
                desk.spill()
                for table in projection.tables:
                    desk.rows(table).trim()
            if progress:
                progress(position.row - start, last - start)
        position.row = last

    def batches(self, session: Session, after: int, last: int) -> Iterator[list[Filed]]:
        """The events after a row, up to another, in row order."""
        for page in _pages(session, after, last):
            yield [Filed(row, self._decode(body), stored_at) for row, _, body, stored_at in page]

    def _filed(self, page: _Page, types: frozenset[str]) -> list[Filed]:
        decode = self._decode
        return [Filed(row, decode(body), stored_at) for row, type, body, stored_at in page if type in types]

    def outdated(self, desk: Desk) -> list[Projection]:
        """The projections whose records were made by another version of their fold, or not yet."""
        positions = desk.rows(PROJECTIONS)
        made = ((projection, positions.get(projection.name)) for projection in self.projections)
        return [each for each, position in made if position is None or position.version != each.version]

    def _restore(self, desk: Desk, projection: Projection) -> int:
        """Puts back what a projection tells from events that may be gone; returns up to which row."""
        for table in projection.tables:
            rows = desk.rows(table)
            for batch in restored(desk.session, table):
                for record in batch:
                    rows.put(record)
                desk.spill()
                rows.trim()
        return told(desk, projection)

    def rebuild(self, desk: Desk, projection: Projection, progress: Progress | None = None) -> None:
        """Drops a projection's records and folds the whole log again, in the running transaction."""
        desk.flush()
        for table in projection.tables:
            desk.session.connection.execute(sa.delete(RECORD_TABLES[table.name]))
            desk.rows(table).drop()
        position = ProjectionPosition(projection.name, projection.version, self._restore(desk, projection))
        self._catch_up(desk, projection, position, desk.last_row, progress)
        desk.rows(PROJECTIONS).put(position)
        desk.flush()


def _pages(session: Session, after: int, last: int) -> Iterator[_Page]:
    """The rows of events after a row, up to another, in order."""
    while page := session.all(queries.FILED, after, last, BATCH):
        yield page
        after = page[-1][0]

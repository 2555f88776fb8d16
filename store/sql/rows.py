"""Records of one table, read through a cache and written back together.

The cache is true because only the holder of the write lock uses it: it is kept from one transaction
to the next, with what is not written yet, and dropped when another process has written or a transaction
was rolled back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from operator import attrgetter
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from store.projections.base import Table
from store.sql.backend import Session
from store.sql.schema import RECORD_TABLES
from store.sql.statements import Inserts, Lookups, compiled, limited

R = TypeVar("R")

KEPT = 20_000
"""Records that a cache keeps between transactions; with more, it begins anew."""


class SqlRows(Generic[R]):
    """`store.projections.base.Rows` over one table, for the one writer."""

    def __init__(self, table: Table[R], session: Session) -> None:
        declared, dialect = RECORD_TABLES[table.name], session.texts.dialect
        columns = [field.name for field in fields(table.record)]  # type: ignore[arg-type]
        self._session = session
        self._make: Callable[..., R] = table.record
        self._key_of = _getter(table.key)
        self._values_of = _getter(columns)
        self._lookups = Lookups(declared, columns, table.key, dialect)
        self._inserts = Inserts(declared, columns, dialect, replace=True)
        where = (declared.c[name] == sa.bindparam(name) for name in table.key)
        self._delete = compiled(sa.delete(declared).where(*where), dialect, table.key)
        self._delete_all = compiled(sa.delete(declared), dialect, ())
        key = [declared.c[name] for name in table.key]
        backwards = sa.select(*key).order_by(*(column.desc() for column in key))
        self._greatest = compiled(limited(backwards), dialect, ("limit",))
        #: the highest key that the table may hold, () if it is empty; None if that is not known
        self._top: tuple[Any, ...] | None = None
        self._cache: dict[tuple[Any, ...], R | None] = {}
        self._dirty: dict[tuple[Any, ...], R | None] = {}

    def get(self, *key: Any) -> R | None:
        try:
            return self._cache[key]
        except KeyError:
            row = None if self._is_above(key) else self._lookups.one(self._session.cursor, key)
            record = self._cache[key] = None if row is None else self._make(*row)
            return record

    def load(self, keys: Iterable[tuple[Any, ...]]) -> None:
        missing = dict.fromkeys(key for key in keys if key not in self._cache)
        if not missing:
            return
        self._cache.update(missing)
        if self._is_above(min(missing)):
            return
        for row in self._lookups.run(self._session.cursor, (key for key in missing if not self._is_above(key))):
            record = self._make(*row)
            self._cache[self._key_of(record)] = record

    def _is_above(self, key: tuple[Any, ...]) -> bool:
        """Whether a key, which is not in memory, lies above all that the table holds: no need to look. Ids of
        commands are in the order of time, so that of new ones this is the rule."""
        if self._top is None:
            self._session.cursor.execute(self._greatest, (1,))
            self._top = tuple(self._session.cursor.fetchone() or ())
        return key > self._top

    def put(self, record: R) -> None:
        key = self._key_of(record)
        self._cache[key] = self._dirty[key] = record

    def remove(self, *key: Any) -> None:
        self._cache[key] = self._dirty[key] = None

    def flush(self) -> None:
        """Writes what was put and removed."""
        if not self._dirty:
            return
        dirty, self._dirty = self._dirty, {}
        if self._top is not None:
            self._top = max(self._top, max(dirty))
        self._inserts.run(
            self._session.cursor, (self._values_of(record) for record in dirty.values() if record is not None)
        )
        for key, record in dirty.items():
            if record is None:
                self._session.cursor.execute(self._delete, key)

    def trim(self) -> None:
        """Keeps the cache within its bounds. Only between transactions: a fold may hold a record."""
        if len(self._cache) > KEPT and not self._dirty:
            self._cache.clear()

    def empty(self) -> None:
        """Removes all records."""
        self._session.cursor.execute(self._delete_all)
        self.drop()

    def drop(self) -> None:
        """Forgets everything, also what was not written."""
        self._cache.clear()
        self._dirty.clear()
        self._top = None


def _getter(names: Iterable[str]) -> Callable[[Any], tuple[Any, ...]]:
    first, *rest = names
    if rest:
        return attrgetter(first, *rest)
    only = attrgetter(first)
    return lambda record: (only(record),)

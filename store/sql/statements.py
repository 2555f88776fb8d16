"""Statements that SQLAlchemy builds and compiles once, and that then run on the driver's own cursor.

Two measurements made them so. SQLAlchemy's own execution costs more than SQLite's. And each call into
the driver gives up the interpreter lock and must win it back: while the event loop is busy, that takes
up to a switch interval (5 ms). So rows are written by many-row statements, one call for up to 64.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPICursor, Dialect
from sqlalchemy.sql.compiler import SQLCompiler

FEW_ROWS, MOST_ROWS = 8, 64
_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""The dialects' own, which can replace."""
_KEY_COUNTS = (1, 8, 64)
_VALUES = re.compile(r"(.*\bVALUES )(\([^()]*\))(.*)", re.DOTALL)


def compiled(statement: sa.ClauseElement, dialect: Dialect, names: Sequence[str]) -> str:
    """The SQL of a statement that takes parameters of these names, in this order."""
    result = statement.compile(dialect=dialect)
    assert isinstance(result, SQLCompiler)
    assert list(result.positiontup or ()) == list(names), (result.positiontup, names)
    return str(result)


class Query:
    """A statement with the names of its parameters, in the order in which they are given."""

    def __init__(self, statement: sa.ClauseElement, *names: str) -> None:
        self.statement = statement
        self.names = names


class Texts(dict[Query, str]):
    """The SQL of queries in one dialect, each compiled when it is first used."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__()
        self.dialect = dialect

    def __missing__(self, query: Query) -> str:
        text = self[query] = compiled(query.statement, self.dialect, query.names)
        return text


def repeated(text: str, count: int) -> str:
    """The statement with `count` rows of values in the place of its one."""
    head, row, tail = _VALUES.fullmatch(text).groups()  # type: ignore[union-attr]
    return f"{head}{', '.join([row] * count)}{tail}"


def limited(statement: sa.Select[Any]) -> sa.Select[Any]:
    """At most `limit` rows, which is the last parameter."""
    # The literal offset keeps SQLAlchemy from adding one as a parameter.
    return statement.limit(sa.bindparam("limit")).offset(sa.literal_column("0"))


class Inserts:
    """Inserts of many rows into one table; where a row with the same key exists, it is replaced if
    `replace` is given."""

    def __init__(self, table: sa.Table, columns: Sequence[str], dialect: Dialect, *, replace: bool) -> None:
        self._table = table
        self._columns = columns
        self._dialect = dialect
        self._replace = replace
        self._texts: dict[int, str] = {}

    @cached_property
    def _single(self) -> str:
        statement = _INSERT[self._dialect.name](self._table).values(dict.fromkeys(self._columns))
        if self._replace:
            key = [column.name for column in self._table.primary_key]
            rest = {name: statement.excluded[name] for name in self._columns if name not in key}
            statement = statement.on_conflict_do_update(index_elements=key, set_=rest)
        return compiled(statement, self._dialect, self._columns)

    def _text(self, count: int) -> str:
        if count not in self._texts:
            self._texts[count] = repeated(self._single, count)
        return self._texts[count]

    def run(self, cursor: DBAPICursor, rows: Iterable[tuple[Any, ...]]) -> None:
        """Writes the rows in few statements, of which few kinds are prepared: up to FEW_ROWS rows have one of
        their own, more go by powers of two."""
        left = list(rows)
        start = 0
        while (remaining := len(left) - start) > 0:
            count = remaining if remaining <= FEW_ROWS else min(MOST_ROWS, 1 << (remaining.bit_length() - 1))
            part = left[start : start + count]
            cursor.execute(self._text(count), part[0] if count == 1 else tuple(chain.from_iterable(part)))
            start += count


class Lookups:
    """Selects of `columns` by many keys at once."""

    def __init__(self, table: sa.Table, columns: Sequence[str], key: Sequence[str], dialect: Dialect) -> None:
        self._table = table
        self._columns = columns
        self._key = key
        self._dialect = dialect
        self._texts: dict[int, str] = {}

    @cached_property
    def _single(self) -> str:
        where = (self._table.c[name] == sa.bindparam(name) for name in self._key)
        return compiled(self._select().where(*where), self._dialect, self._key)

    def _select(self) -> sa.Select[Any]:
        return sa.select(*(self._table.c[name] for name in self._columns))

    @cached_property
    def _joined(self) -> str:
        # A join with the keys, since SQLite scans the table for `(a, b) IN ((?, ?), ...)`.
        columns = [sa.column(name, self._table.c[name].type) for name in self._key]
        binds = tuple(sa.bindparam(column.name, type_=column.type) for column in columns)
        keys = sa.values(*columns, name="keys").data([binds]).cte("keys")
        matches = (self._table.c[name] == keys.c[name] for name in self._key)
        return compiled(self._select().join_from(keys, self._table, sa.and_(*matches)), self._dialect, self._key)

    def _text(self, count: int) -> str:
        if count not in self._texts:
            self._texts[count] = self._single if count == 1 else repeated(self._joined, count)
        return self._texts[count]

    def one(self, cursor: DBAPICursor, key: tuple[Any, ...]) -> Any:
        """The row under this key, or None."""
        cursor.execute(self._single, key)
        return cursor.fetchone()

    def run(self, cursor: DBAPICursor, keys: Iterable[tuple[Any, ...]]) -> list[Any]:
        """The rows under these keys, in any order."""
        found: list[Any] = []
        left = iter(keys)
        while part := list(islice(left, _KEY_COUNTS[-1])):
            count = next(size for size in _KEY_COUNTS if size >= len(part))
            part += [part[-1]] * (count - len(part))
            cursor.execute(self._text(count), tuple(chain.from_iterable(part)))
            found += cursor.fetchall()
        return found

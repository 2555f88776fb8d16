"""What a projection is: a fold of events into keyed records.

A projection sees its records through `Rows` and knows nothing of where they are kept, so one fold
serves every backend, and the in-memory log cannot drift from the real one. A fold never raises on
what an event's data holds: one bad event must not stop the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from store.api import Entry

R = TypeVar("R")


class Filed(NamedTuple):
    """An event in its row, with the local time at which it was stored."""

    row: int
    event: Entry
    stored_at: str


@dataclass(frozen=True)
class Index:
    """A secondary index of a table, partial where `where` (SQL) is given."""

    name: str
    columns: tuple[str, ...]
    where: str | None = None


@dataclass(frozen=True)
class Table(Generic[R]):
    """A kind of record: a slotted dataclass of text, integers and bytes, and which fields are its key."""

    name: str
    record: type[R]
    key: tuple[str, ...]
    indexes: tuple[Index, ...] = ()


class Rows(Protocol[R]):
    """The records of one table."""

    def get(self, *key: str) -> R | None:
        """A record that may be changed and then `put`; unless it is put, nothing has changed."""
        ...

    def load(self, keys: Iterable[tuple[str, ...]]) -> None:
        """Fetches at once what will be asked for; only faster."""
        ...

    def put(self, record: R) -> None: ...
    def remove(self, *key: str) -> None: ...


class Tables(Protocol):
    """The tables that a projection writes."""

    def rows(self, table: Table[R]) -> Rows[R]: ...


class Projection(Protocol):
    """A fold. A changed `version` drops its records and folds the whole log again."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def tables(self) -> Sequence[Table[Any]]: ...
    @property
    def types(self) -> frozenset[str]: ...

    def apply(self, tables: Tables, events: Iterable[Filed]) -> None:
        """Folds events of `types`, in row order."""
        ...


def text(data: Mapping[str, Any], name: str) -> str:
    """The text under this name, or "" if there is none."""
    value = data.get(name)
    return value if isinstance(value, str) else ""


def optional_text(data: Mapping[str, Any], name: str) -> str | None:
    """The text under this name, or None."""
    return text(data, name) or None


def mapping(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The mapping under this name, or an empty one."""
    value = data.get(name)
    return dict(value) if isinstance(value, Mapping) else {}

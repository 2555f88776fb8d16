"""What a log holds, in dictionaries whose uncommitted changes can be taken back.

Every change goes through `State.set`, which remembers what was there before. To take changes back,
and to look past them at what is committed, the remembered values are swapped in again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from store.api import Cursor, E, Mailbox, Stored, Stream
from store.projections.base import Filed, Table

R = TypeVar("R")

_ABSENT: Any = object()


class Position(NamedTuple):
    """A count that is dense up to `held`; `top` is the highest known."""

    held: int = 0
    top: int = 0


class Fill(NamedTuple):
    """The rows of the events that fill one mailbox number."""

    event: int | None = None
    cover: int | None = None


@dataclass(slots=True)
class State(Generic[E]):
    """All that a log holds. Only `set` changes it."""

    source: str
    rows: dict[int, Stored[E]] = field(default_factory=dict)
    stored_at: dict[int, str] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    places: dict[tuple[Stream, int], int] = field(default_factory=dict)
    quarantine: dict[bytes, E] = field(default_factory=dict)
    streams: dict[Stream, Position] = field(default_factory=dict)
    boxes: dict[Mailbox, Position] = field(default_factory=dict)
    fills: dict[tuple[Mailbox, int], Fill] = field(default_factory=dict)
    cursors: dict[str, Cursor] = field(default_factory=dict)
    neighbours: dict[tuple[str, Stream], int] = field(default_factory=dict)
    consumers: dict[str, int] = field(default_factory=dict)
    floors: dict[Stream | Mailbox, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    tables: dict[str, dict[Any, Any]] = field(default_factory=dict)
    made: dict[str, MemoryRows[Any]] = field(default_factory=dict)
    _undo: list[tuple[dict[Any, Any], Any, Any]] = field(default_factory=list)

    def set(self, there: dict[Any, Any], key: Any, value: Any) -> None:
        """Puts value there under key."""
        self._undo.append((there, key, there.get(key, _ABSENT)))
        there[key] = value

    def drop(self, there: dict[Any, Any], key: Any) -> None:
        """Removes what is there under key, if anything is."""
        if key in there:
            self._undo.append((there, key, there.pop(key)))

    def copy(self) -> State[E]:
        """The same, to be changed apart; records are replaced when they change, never changed."""
        twin: State[E] = State(self.source)
        for name in _PARTS:
            getattr(twin, name).update(getattr(self, name))
        twin.tables.update((name, dict(records)) for name, records in self.tables.items())
        return twin

    @property
    def last_row(self) -> int:
        """The highest row number that was ever given."""
        return self.last.get("row", 0)

    @property
    def mark(self) -> int:
        """How many changes are uncommitted."""
        return len(self._undo)

    def commit(self) -> None:
        """Makes all changes lasting."""
        self._undo.clear()

    def roll_back(self, mark: int) -> None:
        """Takes back the changes made since `mark`."""
        while len(self._undo) > mark:
            _swap(*self._undo.pop())

    @contextmanager
    def committed(self) -> Iterator[None]:
        """Within, the state is what is committed; it must not be changed."""
        redo = [(there, key, _swap(there, key, value)) for there, key, value in reversed(self._undo)]
        try:
            yield
        finally:
            for change in reversed(redo):
                _swap(*change)

    def filed(self, row: int) -> Filed:
        """The event in this row, as projections want it."""
        return Filed(row, self.rows[row].event, self.stored_at[row])


_PARTS = tuple(each.name for each in fields(State) if each.name not in ("source", "tables", "made", "_undo"))


def _swap(there: dict[Any, Any], key: Any, value: Any) -> Any:
    now = there.get(key, _ABSENT)
    if value is _ABSENT:
        del there[key]
    else:
        there[key] = value
    return now


class MemoryRows(Generic[R]):
    """The records of one table; `get` hands out copies, so that a change shows only once it is put."""

    def __init__(self, state: State[Any], table: Table[R]) -> None:
        self._state = state
        self._key_of, self._values_of = _getter(table.key), _getter([each.name for each in fields(table.record)])  # type: ignore[arg-type]
        self._make: Callable[..., R] = table.record
        self.records: dict[tuple[str, ...], R] = state.tables.setdefault(table.name, {})

    def get(self, *key: str) -> R | None:
        record = self.records.get(key)
        return None if record is None else self._make(*self._values_of(record))

    def load(self, keys: Iterable[tuple[str, ...]]) -> None:
        """All is in memory already."""

    def put(self, record: R) -> None:
        self._state.set(self.records, self._key_of(record), record)

    def remove(self, *key: str) -> None:
        self._state.drop(self.records, key)


class MemoryTables:
    """The tables of all projections."""

    def __init__(self, state: State[Any]) -> None:
        self._state = state

    def rows(self, table: Table[R]) -> MemoryRows[R]:
        found = self._state.made.get(table.name)
        if found is None:
            found = self._state.made[table.name] = MemoryRows(self._state, table)
        return found


def _getter(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda record: (get(record),)

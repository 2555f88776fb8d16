"""The objects of clusters as they were: the same fold, over the log up to a time."""

from __future__ import annotations

from collections.abc import Iterable

from store.api import E, Stored
from store.memory.reader import MemoryReader
from store.memory.state import MemoryTables, State
from store.projections.base import Filed
from store.projections.observed import ObservedObjects


def objects_at(source: str, time: str, events: Iterable[Stored[E]]) -> MemoryReader[E]:
    """A reader whose `observed` answers as the log of `source` would, had these events come and the world stopped at
    `time` (RFC 3339 text)."""
    state: State[E] = State(source)
    tables = MemoryTables(state)
    fold = ObservedObjects(until=time)
    for stored in events:
        fold.apply(tables, [Filed(stored.row, stored.event, "")])
        state.commit()
    return MemoryReader(state, "")

"""The changes of one object at its cluster, back through the log: each names the event that told it before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from bus.event import Event
from bus.types import OBSERVED
from store.api import ObjectRow, Reader
from store.projections.observed import Change, changes

#: How far back anybody looks.
MOST = 1000


@dataclass(frozen=True, slots=True)
class Past:
    """A change of an object, and the event that told it."""

    event: Event
    change: Change

    @property
    def there(self) -> bool:
        """Whether there is an object after it."""
        return not self.change.gone

    @property
    def object(self) -> dict[str, Any] | None:
        """The object after it; None if it is not known whole."""
        return None if "truncated" in self.change.object else self.change.object


class Lost(Exception):
    """The log does not tell what was before."""


def changes_of(reader: Reader[Event], row: ObjectRow) -> Iterator[Past]:
    """The changes, the latest first. Ends with the one before which there was no object as far as the cluster
    knew; Lost where the log does not hold the event that would say more."""
    id: str | None = row.event
    while id is not None:
        event = reader.event(id)
        if event is None or (event.type, event.source) != (OBSERVED, row.cluster):
            raise Lost
        found = [one for _, one in changes(event) if one.key == row.key[:4]]
        if not found:
            raise Lost
        yield from (Past(event, change) for change in reversed(found))
        id = found[0].prior


def latest(reader: Reader[Event], row: ObjectRow, count: int) -> tuple[list[Past], bool]:
    """Up to `count` changes, the latest first, and whether the log holds what is asked for."""
    found: list[Past] = []
    try:
        found.extend(islice(changes_of(reader, row), count))
    except Lost:
        return found, False
    return found, True

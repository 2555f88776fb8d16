"""Which key is whose, and whether an event is what its source said. Decides without I/O.

Trust begins with the tier's own key and those of the tiers above it. What a trusted tier says of its children's
keys, signed, adds theirs. The records are those of the projection `keys`, folded by the same rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal

from bus.errors import OteError
from bus.event import Event
from bus.signing import is_signed, public_key, verify
from bus.types import ADMITTED, REVOKED
from store.api import Entry, KeyRow
from store.projections.keys import Key, fold, key_of, key_row

#: Why an event is not believed: nobody has said which key its source has, it has no signature, that of a key that
#: counts no more, or that of nobody.
Fault = Literal["unknown", "unsigned", "revoked", "forged"]
TOLD = frozenset({ADMITTED, REVOKED})


class KeyRing:
    """The keys that are known now; `roots` need nobody's word."""

    def __init__(self, roots: Iterable[KeyRow]) -> None:
        self._roots: dict[str, list[KeyRow]] = defaultdict(list)
        for row in roots:
            self._roots[row.path].append(row)
        self._told = _Records()
        self._keys: dict[str, list[tuple[KeyRow, bytes]]] = {}

    def load(self, rows: Iterable[KeyRow]) -> None:
        """Takes what the log tells."""
        for row in rows:
            self._told.put(key_of(row))
        self._keys.clear()

    def learn(self, event: Entry) -> None:
        """Takes what a trusted tier has said of a key."""
        fold(self._told, event)
        # Also of those below: what a key was told with may count no more.
        self._keys.clear()

    def judge(self, event: Event) -> Fault | None:
        """Why an event is not believed; None if it is."""
        known = self._known(event.source)
        if not known:
            return "unknown"
        if not is_signed(event.body):
            needs_none = any(_needs_no_signature(event, row) for row, _ in known)
            return None if needs_none and event.type not in TOLD else "unsigned"
        for row, key in known:
            if verify(event.body, key):
                return None if row.revoked is None or _is_within(event.epoch, event.seq, row.through) else "revoked"
        return "forged"

    def _known(self, path: str) -> list[tuple[KeyRow, bytes]]:
        found = self._keys.get(path)
        if found is None:
            told = [key_row(key) for key in self._told.by_path[path].values()] if path in self._told.by_path else []
            rows = [*self._roots.get(path, ()), *(row for row in told if self._counts(row))]
            found = self._keys[path] = [(row, key) for row in rows if (key := _raw(row.key)) is not None]
        return found

    def _counts(self, row: KeyRow) -> bool:
        """Whether its parent's word on a key is here, and was signed."""
        return bool(row.by) and not _is_within(row.epoch, row.seq, *(by.before for by, _ in self._known(row.by)))


class _Records:
    """`store.projections.base.Rows` of keys, so that the projection's fold is the only one."""

    def __init__(self) -> None:
        self.by_path: dict[str, dict[str, Key]] = defaultdict(dict)

    def get(self, *key: str) -> Key | None:
        path, public = key
        found = self.by_path.get(path, {}).get(public)
        return None if found is None else replace(found)

    def load(self, keys: Iterable[tuple[str, ...]]) -> None:
        """All is in memory."""

    def put(self, record: Key) -> None:
        self.by_path[record.path][record.key] = record

    def remove(self, *key: str) -> None:
        path, public = key
        self.by_path[path].pop(public, None)


def _is_within(epoch: str, seq: int | None, *places: Mapping[str, int]) -> bool:
    return seq is not None and any(seq <= place.get(epoch, 0) for place in places)


def _needs_no_signature(event: Event, row: KeyRow) -> bool:
    """Whether it was said before this key was. Of a key that was revoked only as much counts as the revoker held."""
    counts = row.revoked is None or _is_within(event.epoch, event.seq, row.through)
    return counts and _is_within(event.epoch, event.seq, row.before)


def _raw(key: str) -> bytes | None:
    try:
        return public_key(key)
    except OteError:
        return None

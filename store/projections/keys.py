"""The projection `keys`: which key is whose, at or below this tier.

That a cluster has a key, only its parent says, and that it has it no longer, any tier above it: for ever, since who
is revoked comes back with another key. Where several say so, what counts for one of them counts: in whatever order
their words come, all tiers judge alike. Whether such a word was signed as it must be is looked at before it is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from store.api import Entry, KeyRow
from store.paths import is_under
from store.projections.base import Filed, Rows, Table, Tables, mapping, optional_text, text

ADMITTED = "ote.cluster.admitted.v1"
REVOKED = "ote.cluster.revoked.v1"


@dataclass(slots=True)
class Key:
    """A key of a cluster, admitted by the event at the place (`epoch`, `seq`) of `by` ("": that is not known here yet).
    `tags` are msgpack, as are `before` and `through`: for lives of the cluster's log, up to which seq its events need
    no signature, and up to which they count although the key is revoked."""

    path: str
    key: str
    by: str = ""
    epoch: str = ""
    seq: int = 0
    admitted: str | None = None
    token: str | None = None
    tags: bytes = b"\x80"
    before: bytes = b"\x80"
    revoked: str | None = None
    through: bytes = b"\x80"


KEYS = Table("keys", Key, ("path", "key"))


class Keys:
    """Folds what tiers say of the keys of those below them."""

    name = "keys"
    version = 2
    tables = (KEYS,)
    types = frozenset({ADMITTED, REVOKED})

    def apply(self, tables: Tables, events: Iterable[Filed]) -> None:
        rows = tables.rows(KEYS)
        for filed in events:
            fold(rows, filed.event)


def fold(rows: Rows[Key], event: Entry) -> None:
    """One word on a key, if it is one, and its writer's to say."""
    path, key = text(event.data, "path"), text(event.data, "key")
    if not path or not key:
        return
    known = rows.get(path, key) or Key(path, key)
    if event.type == ADMITTED:
        if event.source != path.rpartition(".")[0] or (event.epoch, event.seq or 0) <= (known.epoch, known.seq):
            return
        known.by, known.epoch, known.seq = event.source, event.epoch, event.seq or 0
        known.admitted, known.token = event.time, optional_text(event.data, "token")
        known.tags = msgpack.packb(mapping(event.data, "tags"))
        known.before = msgpack.packb(_places(event.data, "before"))
    else:
        if event.source == path or not is_under(path, event.source):
            return
        known.revoked = min(known.revoked or event.time, event.time)
        known.through = _joined(known.through, _places(event.data, "through"))
    rows.put(known)


def _joined(packed: bytes, others: Mapping[str, int]) -> bytes:
    """The further of two places in each life."""
    places: dict[str, int] = msgpack.unpackb(packed)
    far = {epoch: max(places.get(epoch, 0), others.get(epoch, 0)) for epoch in sorted({*places, *others})}
    return bytes(msgpack.packb(far))


def _places(data: Mapping[str, Any], name: str) -> dict[str, int]:
    """Up to which seq, for each life: written as a list of (epoch, seq)."""
    told = data.get(name)
    found: dict[str, int] = {}
    for each in told if isinstance(told, list) else []:
        if isinstance(each, (list, tuple)) and len(each) == 2:
            epoch, seq = each
            if isinstance(epoch, str) and isinstance(seq, int):
                found[epoch] = seq
    return found


def key_row(key: Key) -> KeyRow:
    """The record as services read it."""
    return KeyRow(
        path=key.path,
        key=key.key,
        by=key.by,
        epoch=key.epoch,
        seq=key.seq,
        admitted=key.admitted,
        token=key.token,
        tags=msgpack.unpackb(key.tags),
        before=msgpack.unpackb(key.before),
        revoked=key.revoked,
        through=msgpack.unpackb(key.through),
    )


def key_of(row: KeyRow) -> Key:
    """The record that services read as this row."""
    return Key(
        path=row.path,
        key=row.key,
        by=row.by,
        epoch=row.epoch,
        seq=row.seq,
        admitted=row.admitted,
        token=row.token,
        tags=msgpack.packb(dict(row.tags)),
        before=msgpack.packb(dict(row.before)),
        revoked=row.revoked,
        through=msgpack.packb(dict(row.through)),
    )

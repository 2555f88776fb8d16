"""The projection `observed`: the objects of every cluster at or below this tier, as the cluster last told them.

A cluster tells each change of its objects once (`ote.object.observed.v1`), with what was told of the object
before it, so that the changes of one object are a chain through the log. Copies come in any order, so what
counts is the place in the cluster's own stream; what is gone leaves a small record, so that an older
copy cannot bring it back. In a new life of its log a cluster begins anew: what it told in earlier ones
and not again is no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgpack

from store.api import Entry, ObjectRow
from store.projections.base import Filed, Table, Tables, mapping, optional_text, text

OBSERVED = "ote.object.observed.v1"


@dataclass(slots=True)
class Observed:
    """An object of a cluster; `manifest` is msgpack. (`epoch`, `seq`, `item`) is the place where the cluster told
    it: the event `event`, and which of its changes."""

    cluster: str
    kind: str
    namespace: str
    name: str
    api_version: str
    shim: str
    manifest: bytes = b"\x80"
    gone: int = 0
    digest: str = ""
    since: str = ""
    command: str | None = None
    event: str = ""
    epoch: str = ""
    seq: int = 0
    item: int = 0


@dataclass(slots=True)
class Teller:
    """The shim of a cluster, and the life of the cluster's log in which it told all its objects last."""

    cluster: str
    shim: str
    epoch: str


OBJECTS = Table("observed", Observed, ("cluster", "kind", "namespace", "name", "api_version", "shim"))
TELLERS = Table("tellers", Teller, ("cluster", "shim"))


class Change(NamedTuple):
    """One change that an event tells: `prior` is the id of the event that told the object before it, None if there
    was none, or if it is an earlier change in this event."""

    key: tuple[str, str, str, str]
    object: dict[str, Any]
    gone: bool
    digest: str
    time: str
    command: str | None
    prior: str | None


def changes(event: Entry) -> list[tuple[int, Change]]:
    """The well-formed changes of an event, each with its number. A key is (kind, namespace, name, apiVersion)."""
    told = event.data.get("changes")
    found = []
    for number, data in enumerate(told if isinstance(told, (list, tuple)) else ()):
        if isinstance(data, Mapping) and (change := _change(event, data)):
            found.append((number, change))
    return found


def _change(event: Entry, data: Mapping[str, Any]) -> Change | None:
    manifest = mapping(data, "object")
    metadata = mapping(manifest, "metadata")
    kind, name = text(manifest, "kind"), text(metadata, "name")
    if not (kind and name):
        return None
    return Change(
        key=(kind, text(metadata, "namespace"), name, text(manifest, "apiVersion")),
        object=manifest,
        gone=data.get("gone") is True,
        digest=text(data, "digest"),
        time=text(data, "time") or event.time,
        command=optional_text(data, "command"),
        prior=optional_text(data, "prior"),
    )


class ObservedObjects:
    """Folds what clusters tell of their objects."""

    name = "observed"
    version = 1
    tables = (OBJECTS, TELLERS)
    types = frozenset({OBSERVED})

    def __init__(self, until: str | None = None) -> None:
        """Only what had happened by this time (RFC 3339 text), if one is given."""
        self._until = until

    def apply(self, tables: Tables, events: Iterable[Filed]) -> None:
        batch = [filed.event for filed in events]
        rows = tables.rows(OBJECTS)
        told = [(event, self._changes(event)) for event in batch]
        rows.load((e.source, *change.key, text(e.data, "shim")) for e, found in told for _, change in found)
        for event, found in told:
            shim = text(event.data, "shim")
            if event.data.get("whole") is True and (self._until is None or event.time <= self._until):
                _begin(tables, event, shim)
            for number, change in found:
                key = (event.source, *change.key, shim)
                known = rows.get(*key) or Observed(*key)
                if (known.epoch, known.seq, known.item) < (event.epoch, event.seq or 0, number):
                    rows.put(_told(known, event, number, change))

    def _changes(self, event: Entry) -> list[tuple[int, Change]]:
        found = changes(event)
        return found if self._until is None else [one for one in found if one[1].time <= self._until]


def _begin(tables: Tables, event: Entry, shim: str) -> None:
    tellers = tables.rows(TELLERS)
    known = tellers.get(event.source, shim)
    if known is None or known.epoch < event.epoch:
        tellers.put(Teller(event.source, shim, event.epoch))


def _told(known: Observed, event: Entry, number: int, change: Change) -> Observed:
    known.manifest = msgpack.packb(change.object)
    known.gone, known.digest = int(change.gone), change.digest
    known.since, known.command = change.time, change.command
    known.event, known.epoch, known.seq, known.item = event.id, event.epoch, event.seq or 0, number
    return known


def object_row(found: Observed) -> ObjectRow:
    """The record as services read it."""
    return ObjectRow(
        cluster=found.cluster,
        shim=found.shim,
        api_version=found.api_version,
        kind=found.kind,
        namespace=found.namespace,
        name=found.name,
        object=msgpack.unpackb(found.manifest),
        gone=bool(found.gone),
        digest=found.digest,
        since=found.since,
        command=found.command,
        event=found.event,
        epoch=found.epoch,
    )

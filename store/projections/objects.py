"""The projection `objects`: the manifests that the local shim keeps in this tier's log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgpack

from store.projections.base import Filed, Table, Tables, mapping, text

APPLIED = "ote.object.applied.v1"
DELETED = "ote.object.deleted.v1"


@dataclass(slots=True)
class Object:
    """A manifest, as msgpack; `namespace` is "" for what has none."""

    api_version: str
    kind: str
    namespace: str
    name: str
    manifest: bytes


OBJECTS = Table("objects", Object, ("kind", "namespace", "name", "api_version"))


class Objects:
    """Folds the objects of the tier `source`."""

    name = "objects"
    version = 1
    tables = (OBJECTS,)
    types = frozenset({APPLIED, DELETED})

    def __init__(self, source: str) -> None:
        self._source = source

    def apply(self, tables: Tables, events: Iterable[Filed]) -> None:
        rows = tables.rows(OBJECTS)
        for filed in events:
            event = filed.event
            if event.source != self._source:
                continue
            if event.type == APPLIED:
                manifest = mapping(event.data, "object")
                metadata = mapping(manifest, "metadata")
                key = text(manifest, "apiVersion"), text(manifest, "kind"), text(metadata, "namespace")
                rows.put(Object(*key, text(metadata, "name"), msgpack.packb(manifest)))
            else:
                data = event.data
                rows.remove(text(data, "kind"), text(data, "namespace"), text(data, "name"), text(data, "apiVersion"))

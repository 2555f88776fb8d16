"""The objects as one request sees them: what is in the log, and what it has changed itself."""

from __future__ import annotations

from typing import Any, Protocol

from bus.errors import BadRequest
from services.shims.local.manifests import Reference


class Objects(Protocol):
    """What the local shim reads: a part of the log's Reader."""

    def last_row(self) -> int: ...
    def objects(
        self, *, kind: str | None = None, namespace: str | None = None, name: str | None = None
    ) -> list[dict[str, Any]]: ...
    def object(self, api_version: str, kind: str, namespace: str, name: str) -> dict[str, Any] | None: ...


class View:
    """Reads through to the log, and keeps the changes in order: an object, or None for one that is deleted."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self._now: dict[Reference, dict[str, Any] | None] = {}
        self.changes: list[tuple[Reference, dict[str, Any] | None]] = []

    def next_version(self) -> str:
        """The resource version of the next change: it grows with the log, and no two changes share one."""
        return str(self.objects.last_row() + len(self.changes) + 1)

    def find(self, reference: Reference, at: str = "") -> dict[str, Any] | None:
        """The object that is meant, if it is there. BadRequest if several are meant."""
        if reference.api_version:
            if reference in self._now:
                return self._now[reference]
            return self.objects.object(*reference)
        _, kind, namespace, name = reference
        found = {of(one): one for one in self.objects.objects(kind=kind, namespace=namespace, name=name)}
        found |= {one: now for one, now in self._now.items() if now and one[1:] == reference[1:]}
        there = [one for key, one in found.items() if self._now.get(key, one) is not None]
        if len(there) > 1:
            versions = ", ".join(sorted(one["apiVersion"] for one in there))
            raise BadRequest(f"{reference} is in several groups: {versions}", field=at or None, hint="say apiVersion")
        return there[0] if there else None

    def put(self, object: dict[str, Any]) -> None:
        """The object is now this."""
        self._change(of(object), object)

    def remove(self, object: dict[str, Any]) -> None:
        """The object is now gone."""
        self._change(of(object), None)

    def _change(self, reference: Reference, now: dict[str, Any] | None) -> None:
        self._now[reference] = now
        self.changes.append((reference, now))


def of(object: dict[str, Any]) -> Reference:
    """The reference to an object."""
    metadata = object["metadata"]
    return Reference(object["apiVersion"], object["kind"], metadata.get("namespace", ""), metadata["name"])

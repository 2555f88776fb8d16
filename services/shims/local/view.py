"""The objects as one request sees them: what is in the log, and what it has changed itself."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from bus.errors import BadRequest
from services.shims.local.manifests import Reference


class Objects(Protocol):
    """What the local shim reads: a part of the log's Reader."""

    source: str
    epoch: str

    def last_row(self) -> int: ...
    def objects(
        self, *, kind: str | None = None, namespace: str | None = None, name: str | None = None
    ) -> list[dict[str, Any]]: ...
    def object(self, api_version: str, kind: str, namespace: str, name: str) -> dict[str, Any] | None: ...


class Change(NamedTuple):
    """An object as it is now, or None for one that is deleted. `asked`: by the request itself; else the
    cluster did it, as a consequence."""

    reference: Reference
    now: dict[str, Any] | None
    asked: bool


class View:
    """Reads through to the log, and keeps the changes in order. `time` is that of the request (RFC 3339, seconds)."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.time = datetime.now(UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z"
        self._now: dict[Reference, dict[str, Any] | None] = {}
        self._last: dict[Reference, int] = {}
        self._uids = 0
        self.changes: list[Change] = []

    def next_version(self) -> str:
        """The resource version of the next change: it grows with the log, and no two changes share one."""
        return str(self.objects.last_row() + len(self.changes) + 1)

    def new_uid(self) -> str:
        """A uid that no other object of any cluster has; the same log gives the same."""
        self._uids += 1
        place = f"{self.objects.source} {self.objects.epoch} {self.objects.last_row()} {self._uids}"
        return str(UUID(bytes=blake2b(place.encode(), digest_size=16).digest(), version=4))

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

    def all(self, kind: str) -> list[dict[str, Any]]:
        """The objects of this kind as they are now, in no order."""
        found = {of(one): one for one in self.objects.objects(kind=kind)}
        now = {reference: one for reference, one in self._now.items() if reference.kind == kind}
        return [one for one in (found | now).values() if one is not None]

    def put(self, object: dict[str, Any]) -> None:
        """The request makes the object this."""
        self._change(of(object), object, asked=True)

    def remove(self, object: dict[str, Any]) -> None:
        """The request deletes the object."""
        self._change(of(object), None, asked=True)

    def settle(self, object: dict[str, Any], now: dict[str, Any] | None) -> None:
        """The cluster makes the object this, or deletes it. What it adds to an object that the request has
        changed becomes a part of that change."""
        reference = of(object)
        last = self._last.get(reference)
        was = None if last is None else self.changes[last].now
        if now is None or last is None or was is None:
            self._change(reference, now and _versioned(now, self.next_version()), asked=False)
        else:
            self._now[reference] = now = _versioned(now, was["metadata"]["resourceVersion"])
            self.changes[last] = self.changes[last]._replace(now=now)

    def _change(self, reference: Reference, now: dict[str, Any] | None, *, asked: bool) -> None:
        self._now[reference] = now
        self._last[reference] = len(self.changes)
        self.changes.append(Change(reference, now, asked))


def _versioned(object: dict[str, Any], version: str) -> dict[str, Any]:
    return {**object, "metadata": {**object["metadata"], "resourceVersion": version}}


def of(object: dict[str, Any]) -> Reference:
    """The reference to an object."""
    metadata = object["metadata"]
    return Reference(object["apiVersion"], object["kind"], metadata.get("namespace", ""), metadata["name"])

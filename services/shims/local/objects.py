"""One object as the API server keeps it: a manifest merged in, and the metadata that only the server sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from services.shims.local.fields import Fields, canonical, fields_of, same, still_owned, union
from services.shims.local.merge import merge

_SYSTEM = frozenset(
    {
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)
"""What only the server sets. A manifest that was exported carries it, and it has no effect."""


class Stamp(NamedTuple):
    """What the server writes on an object that changes now: `uid` if it is new, the resource version, and
    the time (RFC 3339, seconds)."""

    uid: str
    version: str
    time: str


def applied(live: dict[str, Any] | None, manifest: Mapping[str, Any], manager: str, stamp: Stamp) -> dict[str, Any]:
    """The object after `manager` applied the manifest: `live` itself when that changes nothing.

    What another manager set to another value is taken over, as with `kubectl apply --server-side
    --force-conflicts`. Only objects with a spec have a `generation`; it moves when the spec changes.
    """
    entries: list[dict[str, Any]] = live["metadata"].get("managedFields", []) if live else []
    mine: Fields = next((entry["fieldsV1"] for entry in entries if entry["manager"] == manager), {})
    others = [entry for entry in entries if entry["manager"] != manager]
    before, config = _without_system(live or {}), _without_system(manifest)
    merged = merge(before, config, mine, union(entry["fieldsV1"] for entry in others))
    owned = _owned(config)
    unchanged = canonical(merged) == canonical(before) and owned == mine
    if live and unchanged:
        return live
    managed = [entry for other in others if (entry := _trimmed(other, before, merged))]
    if owned:
        managed.append(_entry(manager, manifest["apiVersion"], stamp.time, owned))
    metadata = merged["metadata"] | _server_metadata(live, merged, stamp) | {"managedFields": managed}
    identity = {"apiVersion": merged["apiVersion"], "kind": merged["kind"], "metadata": metadata}
    return identity | {key: value for key, value in merged.items() if key not in identity}


def edited(live: dict[str, Any], spec: dict[str, Any], stamp: Stamp) -> dict[str, Any]:
    """The object with another spec, set by nobody who would take it back: `live` itself when that is its spec.
    Who owned a field that is another now does so no longer."""
    if same(live["spec"], spec):
        return live
    after = {**live, "spec": spec}
    entries: list[dict[str, Any]] = live["metadata"].get("managedFields", [])
    before, now = _without_system(live), _without_system(after)
    managed = [entry for other in entries if (entry := _trimmed(other, before, now))]
    metadata = live["metadata"] | _server_metadata(live, after, stamp)
    return after | {"metadata": metadata | ({"managedFields": managed} if entries else {})}


def _without_system(manifest: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in manifest.get("metadata", {}).items() if key not in _SYSTEM}
    return {**manifest, "metadata": metadata}


def _owned(config: dict[str, Any]) -> Fields:
    """What an apply of this config owns: all that it sets but the object's identity."""
    fields = fields_of(config)
    metadata = fields.pop("f:metadata")
    for key in ("f:apiVersion", "f:kind"):
        fields.pop(key, None)
    for key in ("f:name", "f:namespace"):
        metadata.pop(key, None)
    return fields | {"f:metadata": metadata} if metadata else fields


def _trimmed(entry: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any] | None:
    left = still_owned(entry["fieldsV1"], before, after)
    return {**entry, "fieldsV1": left} if left else None


def _entry(manager: str, api_version: str, time: str, fields: Fields) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": "Apply",
        "apiVersion": api_version,
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }


def _server_metadata(live: dict[str, Any] | None, merged: dict[str, Any], stamp: Stamp) -> dict[str, Any]:
    old = live["metadata"] if live else {}
    metadata = {
        "uid": old.get("uid", stamp.uid),
        "resourceVersion": stamp.version,
        "creationTimestamp": old.get("creationTimestamp", stamp.time),
    }
    spec = (live or {}).get("spec")
    if spec is not None or "spec" in merged:
        metadata["generation"] = old.get("generation", 0) + (not same(spec, merged.get("spec")))
    return metadata

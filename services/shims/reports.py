"""What a cluster tells those above of its objects: each change once, and small enough to travel.

Changes that one command makes to one object within a short while are told as one; those of two commands never
are, so that what an object was before a command can be found in the log. Pure: no I/O.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeAlias

from bus import subjects
from bus.event import Draft
from bus.types import OBSERVED
from services.shims.notices import essence, is_told
from store.api import ObjectRow

#: An object above this (bytes of JSON) does not travel: only its names do, and how large it is.
OBJECT_LIMIT = 256 * 1024
#: About so much (bytes of JSON) goes into one event.
CHUNK = 48_000

#: (kind, namespace, name, apiVersion)
Key: TypeAlias = tuple[str, str, str, str]

_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str).encode


@dataclass(slots=True)
class _Change:
    key: Key
    object: Mapping[str, Any]
    digest: str
    size: int
    time: str
    command: str | None

    def data(self, prior: str | None) -> dict[str, Any]:
        """As the event tells it. Without a digest, the object is gone."""
        data: dict[str, Any] = {"object": self.object, "time": self.time}
        data |= {"digest": self.digest} if self.digest else {"gone": True}
        data.update((name, value) for name, value in (("command", self.command), ("prior", prior)) if value)
        return data


class Reports:
    """What the shim `shim` of the cluster `me` has told, and what it has yet to tell."""

    def __init__(self, me: str, shim: str, told: Iterable[ObjectRow] = (), *, whole: bool = False) -> None:
        self._me = me
        self._shim = shim
        #: of each object, the digest that was told last ("": it is gone), and the id of the event
        self._told = {row.key[:4]: ("" if row.gone else row.digest, row.event) for row in told if row.shim == shim}
        self._whole = whole
        self._changes: list[_Change] = []
        self._latest: dict[Key, _Change] = {}

    def see(
        self, object: Mapping[str, Any], time: str, command: str | None = None, *, gone: bool = False
    ) -> Key | None:
        """The object is now so, or `gone`; None, and nothing happens, if it is no object, or one that is not told."""
        key = key_of(object)
        if key is None or not (gone or is_told(object)):
            return None
        shown = _names(object, key) if gone else _useful(object)
        digest, size = ("", 100) if gone else _measured(shown)
        if size > OBJECT_LIMIT:
            shown, size = {**_names(object, key), "truncated": size}, 100
        latest = self._latest.get(key)
        if digest == (latest.digest if latest else self._told.get(key, ("", ""))[0]):
            return key
        if latest is not None and latest.command == command:
            latest.object, latest.digest, latest.size, latest.time = shown, digest, size, time
        else:
            self._latest[key] = change = _Change(key, shown, digest, size, time, command)
            self._changes.append(change)
        return key

    def rest(self, seen: Iterable[Key], time: str) -> list[Mapping[str, Any]]:
        """The objects that are not among all that were `seen`, by their names: they are gone."""
        there = {key for key, (digest, _) in self._told.items() if digest}
        there = (there - self._latest.keys()) | {key for key, change in self._latest.items() if change.digest}
        return [_names({}, key) for key in sorted(there - set(seen))]

    def take(self, *, all: bool = True) -> list[Draft]:
        """What is to be told, which from now on counts as told: the caller sees to it that it is. `all`: every
        object has been seen."""
        changes, self._changes, self._latest = self._changes, [], {}
        drafts = [self._draft(chunk) for chunk in _chunks(changes)]
        if self._whole and all:
            drafts = drafts or [self._draft([])]
            drafts[0].data["whole"] = True  # type: ignore[index]
            self._whole = False
        return drafts

    def _draft(self, changes: Iterable[_Change]) -> Draft:
        told: list[dict[str, Any]] = []
        data = {"shim": self._shim, "changes": told}
        draft = Draft(OBSERVED, subjects.event(OBSERVED, self._me), data)
        for change in changes:
            _, prior = self._told.get(change.key, ("", None))
            told.append(change.data(prior if prior != draft.id else None))
            self._told[change.key] = (change.digest, draft.id)
        return draft


def key_of(object: Mapping[str, Any]) -> Key | None:
    """How the object is named; None if it is not."""
    metadata = object.get("metadata")
    if not isinstance(metadata, Mapping):
        return None
    names = (object.get("kind"), metadata.get("namespace") or "", metadata.get("name"), object.get("apiVersion") or "")
    kind, namespace, name, api_version = names
    if not all(isinstance(part, str) for part in names) or not (kind and name):
        return None
    return str(kind), str(namespace), str(name), str(api_version)


def _names(object: Mapping[str, Any], key: Key) -> dict[str, Any]:
    kind, namespace, name, api_version = key
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _useful(object: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without what only the API server needs."""
    metadata = object["metadata"]
    if "managedFields" not in metadata:
        return object
    return {**object, "metadata": {name: part for name, part in metadata.items() if name != "managedFields"}}


def _measured(object: Mapping[str, Any]) -> tuple[str, int]:
    """The digest of what it says, and about its size as JSON."""
    encoded = _encode(essence(object)).encode("utf-8", "replace")
    return blake2b(encoded, digest_size=8).hexdigest(), len(encoded)


def _chunks(changes: Iterable[_Change]) -> Iterable[list[_Change]]:
    chunk: list[_Change] = []
    size = 0
    for change in changes:
        if chunk and size + change.size > CHUNK:
            yield chunk
            chunk, size = [], 0
        chunk.append(change)
        size += change.size
    if chunk:
        yield chunk

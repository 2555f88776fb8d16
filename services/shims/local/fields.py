"""Which fields a manager owns: sets of fields in the form of Kubernetes' FieldsV1.

A set is a tree: `f:replicas` is a field of a map, `k:{"name":"web"}` an item of a list whose items are
told apart by keys, `.` that such an item itself is owned. A leaf is owned with all that is in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

from bus.errors import BadRequest

Fields: TypeAlias = dict[str, "Fields"]

_BY_NAME = (("name",),)
_LIST_KEYS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "claims": _BY_NAME,
    "conditions": (("type",),),
    "containers": _BY_NAME,
    "env": _BY_NAME,
    "ephemeralContainers": _BY_NAME,
    "hostAliases": (("ip",),),
    "hostIPs": (("ip",),),
    "imagePullSecrets": _BY_NAME,
    "initContainers": _BY_NAME,
    "matchConditions": _BY_NAME,
    "ownerReferences": (("uid",),),
    "podIPs": (("ip",),),
    "ports": (("containerPort", "protocol"), ("port", "protocol")),
    "resourceClaims": _BY_NAME,
    "schedulingGates": _BY_NAME,
    "secrets": _BY_NAME,
    "topologySpreadConstraints": (("topologyKey", "whenUnsatisfiable"),),
    "variables": _BY_NAME,
    "volumeDevices": (("devicePath",),),
    "volumeMounts": (("mountPath",),),
    "volumes": _BY_NAME,
    "webhooks": _BY_NAME,
}
_DEFAULTS = {"protocol": "TCP"}
_encode = json.JSONEncoder(sort_keys=True, allow_nan=False).encode


def list_keys(field: str, items: list[Any]) -> tuple[str, ...] | None:
    """The keys by which the items of the list in this field are told apart, as Kubernetes' built-in kinds
    have them; None for a list that is one value, which it also is where its items do not have the keys or
    two have the same."""
    for keys in _LIST_KEYS.get(field, ()):
        found = {item_key(item, keys) for item in items}
        if None not in found and len(found) == len(items):
            return keys
    return None


def item_key(item: Any, keys: tuple[str, ...]) -> str | None:
    """The item's place in a set of fields; None if it does not have the keys."""
    if not isinstance(item, dict):
        return None
    values = [item.get(key, _DEFAULTS.get(key)) for key in keys]
    return _place(keys, *values) if all(isinstance(value, str | int) for value in values) else None


@lru_cache(maxsize=4096, typed=True)
def _place(keys: tuple[str, ...], *values: str | int) -> str:
    return "k:" + json.dumps(dict(zip(keys, values, strict=True)), separators=(",", ":"), sort_keys=True)


def fields_of(value: Any, field: str = "") -> Fields:
    """The fields that this value sets; what is null sets nothing."""
    if isinstance(value, dict):
        return {f"f:{key}": fields_of(part, key) for key, part in value.items() if part is not None}
    if isinstance(value, list) and (keys := list_keys(field, value)):
        return {str(item_key(item, keys)): {".": {}} | fields_of(item) for item in value}
    return {}


def union(sets: Iterable[Fields]) -> Fields:
    """The fields that are in any of the sets."""
    joined: Fields = {}
    for fields in sets:
        for key, inner in fields.items():
            joined[key] = union((joined[key], inner)) if key in joined else inner
    return joined


def still_owned(fields: Fields, before: Any, after: Any, field: str = "") -> Fields | None:
    """What its manager owns of these fields after another's apply: what is still there, and was not given
    another value. None if nothing is left."""
    if not fields:
        both_maps = isinstance(before, dict) and isinstance(after, dict)
        return fields if both_maps or same(before, after) else None
    was, now = _children(before, field), _children(after, field)
    left: Fields = {}
    for key, inner in fields.items():
        if key == ".":
            left[key] = inner
        elif key in now and (kept := still_owned(inner, was.get(key), now[key], key[2:])) is not None:
            left[key] = kept
    return left or None


def _children(value: Any, field: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return {f"f:{key}": part for key, part in value.items()}
    if isinstance(value, list) and (keys := list_keys(field, value)):
        return {str(item_key(item, keys)): item for item in value}
    return {}


def canonical(value: Any) -> str:
    """The value as JSON of one form: equal for equal values, other than `==`, which takes 1 for True.
    BadRequest if it is no JSON."""
    try:
        return _encode(value)
    except (TypeError, ValueError) as error:
        raise BadRequest(f"a manifest must be JSON: {error}") from None


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON."""
    return one is other or canonical(one) == canonical(other)

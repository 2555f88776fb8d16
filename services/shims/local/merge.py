"""The merge of server-side apply: what a manager sets now, upon what is there.

Maps are merged deeply, lists whose items have keys item by item, everything else is one value. A field
that this manager set before and no longer sets goes, unless another manager owns it too; null removes.
"""

from __future__ import annotations

from typing import Any

from services.shims.local.fields import Fields, item_key, list_keys

_GONE: Any = object()


def merge(live: Any, config: Any, mine: Fields, others: Fields, field: str = "") -> Any:
    """The value of `field` after this manager applied `config` to `live` (None if there is nothing).

    `mine` are the fields that it owned before, `others` those that other managers own. Pure: neither
    `live` nor `config` changes, and the answer may share parts with both.
    """
    if isinstance(config, dict):
        return _merge_map(live if isinstance(live, dict) else {}, config, mine, others)
    if isinstance(config, list):
        before = live if isinstance(live, list) else []
        keys = list_keys(field, config or before)
        if keys:
            return _merge_items(before if keys == list_keys(field, before) else [], config, mine, others, keys)
    return config


def _merge_map(live: dict[str, Any], config: dict[str, Any], mine: Fields, others: Fields) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for key in [*live, *(key for key in config if key not in live)]:
        place = f"f:{key}"
        if key not in config:
            value = _given_up(live[key], mine.get(place), others.get(place), key)
        elif config[key] is None:
            value = _GONE
        else:
            value = merge(live.get(key), config[key], mine.get(place, {}), others.get(place, {}), key)
        if value is not _GONE:
            merged[key] = value
    return merged


def _merge_items(live: list[Any], config: list[Any], mine: Fields, others: Fields, keys: tuple[str, ...]) -> list[Any]:
    """The items in the order of the config; an item that is only there stays behind the one it followed,
    so that managers who each set a part do not reorder the list in turns."""
    before = {str(item_key(item, keys)): item for item in live}
    wanted = {str(item_key(item, keys)): item for item in config}
    followers: dict[str, list[Any]] = {}
    anchor = ""
    for place, item in before.items():
        if place in wanted:
            anchor = place
        elif (kept := _given_up(item, mine.get(place), others.get(place))) is not _GONE:
            followers.setdefault(anchor, []).append(kept)
    merged = followers.get("", [])
    for place, item in wanted.items():
        merged.append(_merge_map(before.get(place, {}), item, mine.get(place, {}), others.get(place, {})))
        merged.extend(followers.get(place, []))
    return merged


def _given_up(value: Any, mine: Fields | None, others: Fields | None, field: str = "") -> Any:
    """What is left of a value that this manager no longer sets; `_GONE` if nothing is."""
    if mine is None:
        return value
    left: Any
    if not mine or (others is None and "." in mine):
        left = None
    elif isinstance(value, dict):
        left = _map_given_up(value, mine, others or {})
    elif isinstance(value, list) and (keys := list_keys(field, value)):
        left = _items_given_up(value, mine, others or {}, keys)
    else:
        left = None
    if not left and others is None:
        return _GONE
    return value if left is None else left


def _map_given_up(value: dict[str, Any], mine: Fields, others: Fields) -> dict[str, Any]:
    left = {key: _given_up(part, mine.get(f"f:{key}"), others.get(f"f:{key}"), key) for key, part in value.items()}
    return {key: part for key, part in left.items() if part is not _GONE}


def _items_given_up(value: list[Any], mine: Fields, others: Fields, keys: tuple[str, ...]) -> list[Any]:
    places = ((str(item_key(item, keys)), item) for item in value)
    left = (_given_up(item, mine.get(place), others.get(place)) for place, item in places)
    return [item for item in left if item is not _GONE]

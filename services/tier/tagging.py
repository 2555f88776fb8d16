"""The tags of this cluster, and how they change at run time.

A cluster's announcement holds its tags, and beside them what was changed since it was first started
(`retagged`: a value for each key, None where it was taken away). Every later announcement carries that on, so
what people said at run time outlives a restart, and wins over the tags that the tier is started with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bus import tags
from bus.errors import BadRequest
from bus.event import Event
from store.api import Reader, Stream

Changes = Mapping[str, str | None]


def changes(args: Mapping[str, Any]) -> Changes:
    """What `{"set"?: {KEY: VALUE}, "unset"?: [KEY]}` asks for. BadRequest names the field that is wrong."""
    if unknown := sorted(args.keys() - {"set", "unset"}):
        raise BadRequest(f"{unknown[0]!a} is no argument of tag", field="args", hint="there are set and unset")
    given, gone = args.get("set") or {}, args.get("unset") or []
    if not isinstance(given, Mapping) or not all(isinstance(value, str) for value in given.values()):
        raise BadRequest("set: a text for each key is expected", field="set", hint='{"zone": "eu", "camera": ""}')
    if not isinstance(gone, list) or not all(isinstance(key, str) for key in gone):
        raise BadRequest("unset: a list of keys is expected", field="unset", hint='["zone"]')
    tags.to_texts(given, "set")
    tags.to_texts(dict.fromkeys(gone, ""), "unset")
    if both := sorted(given.keys() & set(gone)):
        raise BadRequest(f"the tag {both[0]} is set and unset", field="unset")
    if not given and not gone:
        raise BadRequest("nothing to set or to unset", field="set", hint='{"zone": "eu"}, or unset: ["zone"]')
    return {**given, **dict.fromkeys(gone)}


def changed(labels: Mapping[str, str], by: Changes) -> dict[str, str]:
    """The tags after these changes."""
    return {key: value for key, value in {**labels, **by}.items() if value is not None}


def announced(reader: Reader[Event], me: str) -> Event | None:
    """The latest announcement of this cluster."""
    row = reader.cluster(me)
    if row is None or not row.announced:
        return None
    found = reader.stream(Stream(me, row.epoch), after=row.seq - 1, limit=1)
    return found[0] if found else None


def retagged(announcement: Event | None) -> Changes:
    """What was changed at run time, up to this announcement."""
    return {} if announcement is None else dict(announcement.data.get("retagged") or {})

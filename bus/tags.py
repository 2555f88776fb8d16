"""Tags of clusters: Kubernetes labels, written `camera` (no value) or `zone=eu`.

As in Kubernetes a key may have a DNS name in front, `example.com/zone=eu`, and a value may be empty:
`camera` and `camera=` are the same tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NewType

from bus.errors import BadRequest
from bus.paths import shown

Tag = NewType("Tag", str)
"""The one text form of a tag: `key` or `key=value`."""

MAX_PREFIX = 253
MAX_TAG = MAX_PREFIX + 1 + 63 + 1 + 63

_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_TAG = re.compile(rf"((?:({_LABEL}(?:\.{_LABEL})*)/)?{_WORD})(?:=({_WORD})?)?")
_HINT = "a tag looks like camera, zone=eu or example.com/zone=eu"


def parse_tag(text: str, field: str = "tags") -> Tag:
    """The tag that `text` spells, in its one form. BadRequest, for this field, says what is wrong."""
    key, value = _fields(text, field)
    return _join(key, value)


def split(tag: Tag) -> tuple[str, str]:
    """Key and value; the value of `camera` is empty."""
    key, _, value = tag.partition("=")
    return key, value


def parse_tags(texts: Iterable[str], field: str = "tags") -> dict[str, str]:
    """`{key: value}` of tags in text form. BadRequest if one is no tag, or a key has two values."""
    labels: dict[str, str] = {}
    for text in texts:
        key, value = _fields(text, field)
        if labels.setdefault(key, value) != value:
            raise BadRequest(
                f"tag {key} is given twice: {labels[key]!r} and {value!r}", field=field, hint="a key has one value"
            )
    return labels


def to_texts(labels: Mapping[str, str], field: str = "tags") -> list[Tag]:
    """The tags in text form, sorted. BadRequest if a key or a value is not allowed."""
    return sorted(_checked(key, value, field) for key, value in labels.items())


def _checked(key: str, value: str, field: str) -> Tag:
    if _fields(f"{key}={value}", field) != (key, value):
        raise BadRequest(f"tag key {shown(key)} is not allowed", field=field, hint=_HINT)
    return _join(key, value)


def _join(key: str, value: str) -> Tag:
    return Tag(f"{key}={value}" if value else key)


def _fields(text: str, field: str) -> tuple[str, str]:
    found = _TAG.fullmatch(text) if len(text) <= MAX_TAG else None
    if not found or len(found[2] or "") > MAX_PREFIX:
        raise BadRequest(f"tag {shown(text)} {_fault(text)}", field=field, hint=_HINT)
    return found[1], found[3] or ""


def _fault(text: str) -> str:
    if not text:
        return "is empty"
    key, _, value = text.partition("=")
    prefix, _, word = key.rpartition("/")
    if len(text) > MAX_TAG or len(prefix) > MAX_PREFIX or max(len(word), len(value)) > 63:
        return f"is too long: key and value have at most 63 characters each, a prefix {MAX_PREFIX}"
    return "is no Kubernetes label: letters, digits, '-', '_' and '.', with a letter or digit at both ends"

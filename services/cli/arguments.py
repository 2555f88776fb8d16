"""A verb's arguments as people type them: `replicas=3`, `labels:={"a": 1}`, or one JSON object."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bus.errors import BadRequest


def parse_arguments(words: Sequence[str]) -> dict[str, Any]:
    """`key=value` is text, `key:=json` any JSON value. One word that begins with `{` is all arguments as JSON.
    BadRequest names the word that is wrong."""
    if len(words) == 1 and words[0].lstrip().startswith("{"):
        return _whole(words[0])
    arguments: dict[str, Any] = {}
    for word in words:
        key, value = _pair(word)
        if key in arguments:
            raise BadRequest(f"{word!r}: {key} is given twice", field="args", hint="leave one out")
        arguments[key] = value
    return arguments


def _whole(word: str) -> dict[str, Any]:
    value = _json(word, word)
    if not isinstance(value, dict):
        raise BadRequest(
            f"{word!r} is no JSON object", field="args", hint="write key=text, key:=json, or one JSON object"
        )
    return value


def _pair(word: str) -> tuple[str, Any]:
    key, equals, value = word.partition("=")
    if not equals or not key.rstrip(":"):
        raise BadRequest(f"{word!r} is no argument", field="args", hint="write key=text, key:=json, or one JSON object")
    if key.endswith(":"):
        return key[:-1], _json(value, word)
    return key, value


def _json(text: str, word: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadRequest(f"{word!r}: no JSON: {error}", field="args", hint='quote text: key:="text"') from None

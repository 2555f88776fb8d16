"""How bytes become messages: frames of events between tiers, JSON or msgpack maps in requests.

A frame is a msgpack array of event bodies: the bytes of an event are never encoded again, so that its
checksum holds over any number of hops. Requests come from people too, so they may be JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgpack

from bus.errors import BadMessage

CONTENT_TYPE = "Content-Type"
EVENTS = "application/vnd.ote.events.v1+msgpack"
MSGPACK = "application/msgpack"
JSON = "application/json"

EVENTS_HEADERS = {CONTENT_TYPE: EVENTS}
JSON_HEADERS = {CONTENT_TYPE: JSON}
MSGPACK_HEADERS = {CONTENT_TYPE: MSGPACK}

SERVICE_ERROR = "Nats-Service-Error"
SERVICE_ERROR_CODE = "Nats-Service-Error-Code"
"""Headers of an answer that is an error (ADR-32): its text, and its number as of HTTP."""

FRAME_LIMIT = 60_000
"""Bytes of event bodies in one frame: slow links lose what is larger (a single event may be)."""
MAX_EVENTS = 4096
"""Events in one frame."""
MAX_NESTING = 64
"""How deep the lists and maps of a request may nest: an event must hold them with room to spare."""

_ENTRY_OVERHEAD = 5


# Frames ------------------------------------------------------------------------------------------


def pack(bodies: list[bytes]) -> bytes:
    """The frame of these event bodies."""
    frame: bytes = msgpack.packb(bodies)
    return frame


def unpack(payload: bytes) -> list[bytes]:
    """The event bodies of a frame. BadMessage if these bytes are none."""
    try:
        bodies = msgpack.unpackb(payload, max_array_len=MAX_EVENTS, max_map_len=0, max_str_len=0, max_ext_len=0)
    except (ValueError, msgpack.UnpackException) as error:
        raise BadMessage(f"not a frame of events: {_reason(error)}") from None
    if type(bodies) is not list or not all(type(body) is bytes for body in bodies):
        raise BadMessage("not a frame of events: an array of event bodies is expected")
    return bodies


def chunks(bodies: Iterable[bytes], limit: int = FRAME_LIMIT) -> list[list[bytes]]:
    """The bodies in order, in groups whose frames stay below `limit` bytes; a larger body goes alone."""
    groups: list[list[bytes]] = []
    size = limit
    for body in bodies:
        cost = len(body) + _ENTRY_OVERHEAD
        if size + cost > limit or len(groups[-1]) == MAX_EVENTS:
            groups.append([])
            size = _ENTRY_OVERHEAD
        groups[-1].append(body)
        size += cost
    return groups


# Requests and answers ----------------------------------------------------------------------------


def content_of(payload: bytes, content_type: str | None = None) -> str:
    """JSON or MSGPACK: what the header says, else what the first byte looks like. BadMessage for
    any other content type."""
    if content_type:
        kind = content_type.partition(";")[0].strip().lower()
        if kind == JSON or kind.endswith("+json"):
            return JSON
        if kind in (MSGPACK, "application/x-msgpack", "application/vnd.msgpack") or kind.endswith("+msgpack"):
            return MSGPACK
        raise BadMessage(
            f"content type {ascii(content_type)[:100]} is not understood", hint=f"send {JSON} or {MSGPACK}"
        )
    # A msgpack map begins with 0x80 to 0x8f, 0xde or 0xdf: no JSON text does.
    return MSGPACK if payload[:1] >= b"\x80" else JSON


def parse_body(payload: bytes, content_type: str | None = None) -> dict[str, Any]:
    """The map in these bytes, JSON or msgpack; no bytes at all are the empty map.

    BadMessage for anything else, and for what could not be kept: NaN and infinities, integers beyond
    64 bits, text that is no Unicode, too deep nesting."""
    if not payload:
        return {}
    body = _load_msgpack(payload) if content_of(payload, content_type) is MSGPACK else _load_json(payload)
    if not isinstance(body, dict):
        raise BadMessage(f"a map is expected, not {_kind(body)}", hint='send a JSON object: {"name": value}')
    _check(body, 0)
    return body


def dump_body(body: Mapping[str, Any], content_type: str = JSON) -> bytes:
    """The bytes of a map, JSON or msgpack. TypeError or ValueError if it holds what these cannot."""
    if content_type == MSGPACK:
        packed: bytes = msgpack.packb(body)
        return packed
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _load_json(payload: bytes) -> Any:
    try:
        return json.loads(payload.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise BadMessage(f"neither JSON nor a msgpack map: byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadMessage(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise BadMessage("not JSON of ours: nested too deep") from None
    except ValueError as error:
        raise BadMessage(f"not JSON: {_reason(error)}") from None


def _no_constant(name: str) -> Any:
    raise BadMessage(f"not JSON: {name} is no number")


def _load_msgpack(payload: bytes) -> Any:
    try:
        return msgpack.unpackb(payload, max_ext_len=0)
    except (ValueError, msgpack.UnpackException) as error:
        raise BadMessage(f"not a msgpack map: {_reason(error)}") from None


def _check(value: Any, depth: int) -> None:
    """Refuses what a log could not keep as it is; the error's field leads to the place."""
    kind = type(value)
    if kind is str:
        if not value.isascii():
            _check_text(value)
    elif kind is dict:
        for key in value:
            if type(key) is not str:
                raise BadMessage(f"a key is text, not {_kind(key)}")
            _check(key, depth)
        _check_items(value.items(), depth + 1)
    elif kind is list:
        _check_items(enumerate(value), depth + 1)
    elif kind is int:
        if not -(2**63) <= value < 2**64:
            raise BadMessage("an integer beyond 64 bits", hint="send it as text")
    elif kind is float:
        if not math.isfinite(value):
            raise BadMessage("NaN and infinities are no values")
    elif kind is bytes:
        raise BadMessage("bytes are no value", hint="send them as text, such as base64")


def _check_items(items: Iterable[tuple[Any, Any]], depth: int) -> None:
    if depth > MAX_NESTING:
        raise BadMessage(f"nested deeper than {MAX_NESTING} levels")
    for key, item in items:
        try:
            _check(item, depth)
        except BadMessage as error:
            name = ascii(key)[1:-1][:40] if isinstance(key, str) else str(key)
            error.field = f"{name}.{error.field}"[:200] if error.field else name
            raise


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadMessage("text with a lone surrogate is no Unicode") from None


def _kind(value: Any) -> str:
    names = {list: "a list", str: "text", int: "a number", float: "a number", bool: "true or false", bytes: "bytes"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:200]

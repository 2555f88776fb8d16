from __future__ import annotations

import json
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import wire
from bus.errors import BadMessage
from bus.event import Draft

bodies = st.lists(st.binary(max_size=200), max_size=50)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # Surrogates alone are no text.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcé", max_size=4), inner, max_size=3),
    max_leaves=10,
)


@given(bodies)
def test_a_frame_carries_the_very_bytes(some: list[bytes]) -> None:
    assert wire.unpack(wire.pack(some)) == some


@given(bodies, st.integers(10, 300))
def test_chunks_keep_order_and_limit(some: list[bytes], limit: int) -> None:
    groups = wire.chunks(some, limit)
    assert [body for group in groups for body in group] == some
    assert all(groups)
    for group in groups:
        assert len(group) == 1 or len(wire.pack(group)) <= limit


def test_chunks_are_full_and_never_too_many() -> None:
    assert [len(group) for group in wire.chunks([b"x" * 995] * 120)] == [59, 59, 2]
    assert [len(group) for group in wire.chunks([b""] * (wire.MAX_EVENTS + 1), 10**9)] == [wire.MAX_EVENTS, 1]
    assert wire.chunks([]) == []


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"hello",
        b"\xc1",
        b"\xc4\x01a",
        b"\x92\xc4\x01a\x01",
        b"\x91\xa1a",
        b"\x91\xc4\x05a",
        b"\x91\xc4\x01ax",
        b"\x81\xc4\x01a\xc4\x01a",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 5000,
        b"\x91\xd6\xff\x00\x00\x00\x01",
        msgpack.packb([b""] * (wire.MAX_EVENTS + 1)),
    ],
)
def test_what_is_no_frame_is_refused(payload: bytes) -> None:
    with pytest.raises(BadMessage, match="frame of events"):
        wire.unpack(payload)


@given(st.binary())
def test_any_bytes_are_a_frame_or_a_clear_error(payload: bytes) -> None:
    try:
        assert all(isinstance(body, bytes) for body in wire.unpack(payload))
    except BadMessage as error:
        assert len(error.message) < 300


@given(st.dictionaries(st.text("abcé", max_size=4), plain, max_size=4), st.sampled_from([wire.JSON, wire.MSGPACK]))
def test_a_body_round_trips_with_and_without_a_content_type(body: dict[str, Any], kind: str) -> None:
    payload = wire.dump_body(body, kind)
    assert wire.parse_body(payload, kind) == body
    assert wire.parse_body(payload) == body
    assert wire.content_of(payload) == kind


@given(st.dictionaries(st.text("abcé", max_size=4), plain, max_size=4))
def test_what_is_accepted_can_be_kept_in_an_event(body: dict[str, Any]) -> None:
    accepted = wire.parse_body(wire.dump_body(body))
    draft = Draft(type="ote.command.submitted.v1", subject="ote.cmd.root", data={"do": {"args": accepted}})
    assert draft.seal("root", "e", 1).body


def test_no_bytes_are_the_empty_map() -> None:
    assert wire.parse_body(b"") == {}
    assert wire.parse_body(b"", wire.MSGPACK) == {}


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/cloudevents+json"]
)
def test_json_has_several_names(kind: str) -> None:
    assert wire.parse_body(b'{"a": 1}', kind) == {"a": 1}


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b'{"a":', "line 1, column 6"),
        (b"{'a': 1}", "not JSON"),
        (b"hello", "not JSON"),
        (b"[1]", "a map is expected, not a list"),
        (b'"text"', "a map is expected, not text"),
        (b"12", "a map is expected, not a number"),
        (b"null", "a map is expected, not null"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": -Infinity}', "-Infinity is no number"),
        (b'{"a": 1e999}', "NaN and infinities"),
        (b'{"a": 18446744073709551616}', "beyond 64 bits"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"\\ud800": 1}', "surrogate"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "nested"),
        (b'{"a":' * 100_000, "nested"),
        (b"\x81\xa1a", "not a msgpack map"),
        (b"\x80\x80", "not a msgpack map"),
        (b"\x91\x01", "a map is expected, not a list"),
        (b"\x81\x01\xa1a", "not a msgpack map"),
        (b"\x81\xc4\x01a\x01", "a key is text, not bytes"),
        (b"\x81\xa1a\xc4\x01a", "bytes are no value"),
        (b"\x81\xa1a\xa2\xff\xfe", "not a msgpack map"),
        (b"\x81\xa1a\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "NaN and infinities"),
        (b"\xdf\xff\xff\xff\xff", "not a msgpack map"),
    ],
)
def test_a_bad_body_is_refused_with_the_reason(payload: bytes, says: str) -> None:
    with pytest.raises(BadMessage, match=says):
        wire.parse_body(payload)


def test_the_error_leads_to_the_place() -> None:
    with pytest.raises(BadMessage) as refused:
        wire.parse_body(json.dumps({"do": {"args": {"list": [1, 2**70]}}}).encode())
    assert refused.value.field == "do.args.list.1"


def test_an_unknown_content_type_is_refused() -> None:
    with pytest.raises(BadMessage, match="text/plain") as refused:
        wire.parse_body(b"{}", "text/plain")
    assert refused.value.hint


@given(st.binary(), st.sampled_from([None, wire.JSON, wire.MSGPACK]))
def test_any_bytes_are_a_body_or_a_clear_error(payload: bytes, kind: str | None) -> None:
    try:
        assert isinstance(wire.parse_body(payload, kind), dict)
    except BadMessage as error:
        assert len(error.message) < 400

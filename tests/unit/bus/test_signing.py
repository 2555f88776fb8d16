"""Signatures over exact bytes."""

from __future__ import annotations

import msgpack
import nkeys
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import signing
from bus.errors import BadRequest
from bus.event import SIGNATURE_MARK, Addressee, Cover, Draft, Event
from bus.signing import Signer, public_key
from tests.support import new_seed

EPOCH = "00000001.0123456789abcdef"
SIGNER = Signer(new_seed())
KEY = public_key(SIGNER.public)


def draft() -> Draft:
    """One with every attribute that there is: the map has no more than 15."""
    return Draft(
        type="ote.command.submitted.v1",
        subject="ote.cmd.root.a",
        data={"n": 1},
        cause="c",
        actor="ada",
        to=(Addressee("root.a", 1, ""),),
        expiresat="2026-11-23T06:35:59.000000Z",
        supersedes=(Cover("root.a", 1, "c", bytes(16)),),
    )


def signed() -> Event:
    return draft().seal("root", EPOCH, 1, SIGNER)


def test_the_body_ends_with_the_signature_and_reads_as_before() -> None:
    event = signed()
    assert event.body[-70:-64] == SIGNATURE_MARK
    assert msgpack.unpackb(event.body)["sig"] == event.body[-64:]
    assert event.body[0] & 0xF0 == 0x80
    again = Event.decode(event.body)
    assert (again.actor, again.to, again.supersedes) == (event.actor, event.to, event.supersedes)
    assert signing.is_signed(event.body) and signing.verify(event.body, KEY)


def test_an_event_without_a_signature_does_not_verify() -> None:
    body = draft().seal("root", EPOCH, 1).body
    assert not signing.is_signed(body) and not signing.verify(body, KEY)
    assert "sig" not in msgpack.unpackb(body)


@given(st.data())
def test_any_other_byte_is_found(data: st.DataObject) -> None:
    body = bytearray(signed().body)
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] ^= data.draw(st.integers(1, 255))
    assert not signing.verify(bytes(body), KEY)


def test_what_is_added_or_left_out_is_found() -> None:
    body = signed().body
    for other in (body[1:], body[:-1], body + b"\x00", b"", body[-70:], body[-64:]):
        assert not signing.verify(other, KEY)


def test_a_signature_is_no_other_clusters() -> None:
    assert not signing.verify(signed().body, public_key(Signer(new_seed()).public))
    assert not signing.verify(signed().body, bytes(32))


def test_what_a_server_gives_to_sign_is_no_event() -> None:
    """Text of a server's choice, signed to prove who dials, is no event: an event does not begin as text does."""
    body = draft().seal("root", EPOCH, 1).body
    text = b"\xde\xa3" + body[1:]
    forged = text + SIGNATURE_MARK + SIGNER(text)
    assert not signing.verify(forged, KEY)
    with pytest.raises(UnicodeDecodeError):
        body.decode()


def test_keys_are_those_of_nkeys() -> None:
    seed = new_seed()
    pair = nkeys.from_seed(seed.encode())
    assert Signer(f"{seed}\n").public == pair.public_key.decode()
    assert Signer(seed)(b"some bytes") == pair.sign(b"some bytes")


@pytest.mark.parametrize("text", ["", "SU", "UABC", "x" * 58, "U" * 56, "ü" * 56])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="seed") as refused:
        Signer(text)
    assert len(text) < 3 or text not in refused.value.message
    with pytest.raises(BadRequest, match="public key"):
        public_key(text)


def test_a_seed_of_an_account_is_no_cluster_key() -> None:
    with pytest.raises(BadRequest):
        Signer(bytes(nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_ACCOUNT)).decode())

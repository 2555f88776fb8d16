"""Signatures: who said it, proven by the exact bytes (ed25519).

A signed event's msgpack map ends with the key `sig`, so its last 70 bytes are always the same six and then the
signature, which covers all bytes before these. Log, checksum, frames and carriers need not know of it, and no
signature is ever taken off or put on again.

A cluster also proves itself to the servers of its parents with this key, by signing what they give it, which is
text. The bytes of an event begin with 0x80 to 0x8f, as no text does (UTF-8), so nobody is given one for the other.
PyNaCl it is, and not cryptography: it takes two thirds of the time to sign, and half of it to verify.
"""

from __future__ import annotations

import base64
import binascii

import nkeys
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

from bus.errors import BadRequest
from bus.event import SIGNATURE_MARK

SIGNATURE = 64
"""Bytes of a signature."""
_TAIL = len(SIGNATURE_MARK) + SIGNATURE
_KEY = 32


class Signer:
    """Signs in the name of one cluster; called with what is to be signed, it returns the signature."""

    def __init__(self, seed: str) -> None:
        """`seed` is a user seed of nkeys (`SU...`). BadRequest if it is none, without showing it."""
        try:
            prefix, raw = nkeys.decode_seed(seed.strip().encode())
        except (nkeys.NkeysError, ValueError):
            prefix, raw = None, b""
        if prefix != nkeys.PREFIX_BYTE_USER or len(raw) != _KEY:
            raise BadRequest("the cluster key is no seed of a user key (SU...)", field="seed")
        public, self._secret = crypto_sign_seed_keypair(bytes(raw))
        #: The public key as nkeys write it (`U...`).
        self.public = _encode(public)

    def __call__(self, signed: bytes) -> bytes:
        return crypto_sign(signed, self._secret)[:SIGNATURE]


def is_signed(body: bytes) -> bool:
    """Whether an event's bytes end with a signature, good or not."""
    return body[-_TAIL:-SIGNATURE] == SIGNATURE_MARK and body[:1] < b"\x90"


def verify(body: bytes, key: bytes) -> bool:
    """Whether the holder of this key (32 bytes, see `public_key`) has signed these bytes of an event."""
    if not is_signed(body):
        return False
    try:
        crypto_sign_open(body[-SIGNATURE:] + body[:-_TAIL], key)
    except (CryptoError, ValueError):
        return False
    return True


def public_key(text: str) -> bytes:
    """The 32 bytes of a public user key (`U...`). BadRequest if it is none."""
    try:
        raw = base64.b32decode(text)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _KEY + 3 or _encode(raw[1:-2]) != text:
        raise BadRequest(f"{text[:80]!r} is no public key of a cluster (U...)", field="key")
    return raw[1:-2]


def _encode(public: bytes) -> str:
    # 35 bytes: base32 needs no padding.
    body = bytes([nkeys.PREFIX_BYTE_USER]) + public
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).decode()

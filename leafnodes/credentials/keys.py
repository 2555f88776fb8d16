"""Nkeys: ed25519 key pairs as NATS writes them. A letter says what a key is: O an operator's, A an account's, U a
user's; S is before a seed. A seed never leaves the machine that made it.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Self

import nkeys
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from bus.errors import BadRequest

Kind = Literal["operator", "account", "user"]

_PREFIX: dict[Kind, int] = {
    "operator": nkeys.PREFIX_BYTE_OPERATOR,
    "account": nkeys.PREFIX_BYTE_ACCOUNT,
    "user": nkeys.PREFIX_BYTE_USER,
}
_RAW = 32


@dataclass(frozen=True)
class KeyPair:
    """A key pair, known by its seed (`SU...`)."""

    seed: str = field(repr=False)

    @classmethod
    def make(cls, kind: Kind) -> Self:
        """A new one."""
        return cls(nkeys.encode_seed(os.urandom(_RAW), _PREFIX[kind]).decode())

    @cached_property
    def _pair(self) -> nkeys.KeyPair:
        return nkeys.from_seed(bytearray(self.seed.encode()))

    @cached_property
    def public(self) -> str:
        """The public key: `U...`."""
        return str(self._pair.public_key.decode())

    def sign(self, data: bytes) -> bytes:
        """64 bytes."""
        return bytes(self._pair.sign(data))


def raw(public: str, kind: Kind, field: str = "key") -> bytes:
    """The 32 bytes of a public key. BadRequest if it is no key of this kind."""
    try:
        data = base64.b32decode(public + "=" * (-len(public) % 8))
    except (ValueError, binascii.Error):
        data = b""
    body, crc = data[:-2], data[-2:]
    if len(body) != 1 + _RAW or body[0] != _PREFIX[kind] or binascii.crc_hqx(body, 0).to_bytes(2, "little") != crc:
        raise BadRequest(f"this is no public key of {_an(kind)}", field=field)
    return body[1:]


def verify(public: str, kind: Kind, data: bytes, signature: bytes) -> bool:
    """Whether the key's owner signed the data. BadRequest if it is no key of this kind."""
    try:
        VerifyKey(raw(public, kind)).verify(data, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def _an(kind: Kind) -> str:
    return f"an {kind}" if kind[0] in "ao" else f"a {kind}"

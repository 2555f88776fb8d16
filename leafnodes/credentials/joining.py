"""How a cluster is admitted: the token that invites it, what it says of itself, and what it is given.

A token is good for one path and one key. It brings a credential that allows only to ask, where to ask, and the keys
of the root and the parent, so that the newcomer knows whom to believe. What a cluster says is signed by its cluster
key, and is text: no event can be taken for it.
"""

from __future__ import annotations

import base64
import json
import time
import zlib
from hashlib import blake2b
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from bus.contracts import PathText
from bus.errors import BadMessage, BadRequest, OteError
from leafnodes.credentials import keys
from leafnodes.credentials.store import Keys, Link, Public

_MARK = "ote1-"
#: A token is much shorter; what unpacks to more is none.
_MOST = 100_000


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Token(_Model):
    """An invitation. `expires` is seconds since 1970; `credential` and `seed` are for the newcomer's first link,
    `secret` proves who was invited."""

    path: PathText
    tags: list[str] = []
    expires: float
    parent: str
    trusted: dict[str, str]
    credential: str
    seed: str
    secret: str

    @property
    def id(self) -> str:
        """What logs may tell of it."""
        return token_id(self.secret)

    def text(self) -> str:
        """One word, to be copied."""
        packed = zlib.compress(self.model_dump_json().encode(), 9)
        return _MARK + base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The token in these words. BadRequest if there is none, or it has expired."""
        body = "".join(text.split()).removeprefix(_MARK)
        try:
            unpacked = zlib.decompressobj().decompress(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), _MOST)
            token = cls.model_validate_json(unpacked)
        except (ValueError, zlib.error):
            hint = "copy all of it: it begins with ote1-"
            raise BadRequest("this is no token", field="token", hint=hint) from None
        if token.expires < time.time():
            hint = f"ask for a new one at its parent: ote join-token --path {token.path}"
            raise BadRequest("this token has expired", field="token", hint=hint)
        return token


def token_id(secret: str) -> str:
    """A name for a token that does not give it away."""
    return blake2b(secret.encode(), digest_size=8).hexdigest()


class Application(_Model):
    """What a cluster says to its parent: that it is here with a token, or, admitted long since, that it needs its next
    credentials. `hosts`: it has children of its own. `before`: (life, seq) up to which its log was written without a
    key, where it ran on a password before."""

    path: PathText
    public: Public
    token: str | None = None
    hosts: bool = False
    before: list[tuple[str, int]] = []

    def pack(self, own: Keys) -> bytes:
        """The bytes, signed by the cluster key."""
        said = self.model_dump_json()
        proof = base64.b64encode(own.cluster.sign(said.encode())).decode()
        return json.dumps({"said": said, "proof": proof}).encode()

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """What was said, if who says it holds the key that it names. BadMessage otherwise."""
        try:
            wire = json.loads(payload)
            said = cls.model_validate_json(wire["said"])
            keys.raw(said.public.account, "account")
            keys.raw(said.public.admission, "account")
            good = keys.verify(said.public.cluster, "user", wire["said"].encode(), base64.b64decode(wire["proof"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OteError) as error:
            raise BadMessage(f"not an application: {str(error)[:200]}") from None
        if not good:
            raise BadMessage("not an application: it is not signed by the key that it names")
        return said


class Admittance(_Model):
    """What the parent answers. `links` are credentials by the path of the host, `carries` the admission keys of those
    whose children the cluster takes in, `cards` the accounts of those that take in its own; `trusted` are the cluster
    keys of the tiers above, `revoked` keys that count no more."""

    state: Literal["admitted", "waiting", "refused"]
    why: str | None = None
    links: dict[str, Link] = {}
    carries: dict[str, str] = {}
    cards: dict[str, str] = {}
    trusted: dict[str, str] = {}
    revoked: list[str] = []

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """The answer in these bytes. BadMessage if there is none."""
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise BadMessage(f"not an admittance: {error.errors()[0]['msg']}") from None

"""JWTs as nats-server reads them (version 2): claims, signed by a key that the server trusts.

An operator's key signs accounts, an account's key or one of its signing keys signs users. Times are seconds since
1970, in whole seconds.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

from bus.errors import BadRequest
from leafnodes.credentials import keys
from leafnodes.credentials.keys import KeyPair

_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
#: The server takes what is absent for 0, and 0 for nothing at all.
NO_LIMIT = -1
_LIMITS = {"subs": NO_LIMIT, "data": NO_LIMIT, "payload": NO_LIMIT}


def sign(
    key: KeyPair,
    subject: str,
    name: str,
    nats: Mapping[str, Any],
    *,
    kind: str,
    expires: float | None = None,
    issued: int | None = None,
) -> str:
    """The token with these claims; `issued` is now if not given."""
    claims: dict[str, Any] = {
        "iat": int(time.time()) if issued is None else issued,
        "iss": key.public,
        "name": name,
        "sub": subject,
        "nats": {**nats, "type": kind, "version": 2},
    }
    if expires is not None:
        claims["exp"] = int(expires)
    claims["jti"] = base64.b32encode(hashlib.sha256(_json(claims)).digest()).decode().rstrip("=")
    head = f"{_b64(_json(_HEADER))}.{_b64(_json(claims))}"
    return f"{head}.{_b64(key.sign(head.encode()))}"


def operator(key: KeyPair, name: str, system: str) -> str:
    """An operator, which signs itself; `system` is the system account's public key."""
    # Always the same: a running server takes no other.
    return sign(key, key.public, name, {"system_account": system}, kind="operator", issued=1)


def account(key: KeyPair, public: str, name: str, nats: Mapping[str, Any]) -> str:
    """An account, signed by the operator's key: without limits but those in `nats`."""
    limits = {
        **_LIMITS,
        "imports": NO_LIMIT,
        "exports": NO_LIMIT,
        "wildcards": True,
        "conn": NO_LIMIT,
        "leaf": NO_LIMIT,
    }
    return sign(key, public, name, {"limits": limits, **nats}, kind="account")


def user(
    key: KeyPair,
    public: str,
    name: str,
    *,
    permissions: Mapping[str, Any] | None = None,
    account: str | None = None,
    tags: tuple[str, ...] = (),
    expires: float | None = None,
) -> str:
    """A user. One of a scoped key (`permissions` is None) takes all it may from the scope, and nothing of its own;
    `account` is needed where `key` is not the account's own."""
    nats: dict[str, Any] = {**_LIMITS, **permissions} if permissions is not None else {}
    if account is not None:
        nats["issuer_account"] = account
    if tags:
        nats["tags"] = list(tags)
    return sign(key, public, name, nats, kind="user", expires=expires)


def claims(token: str) -> dict[str, Any]:
    """What a token claims, if whom it names as its issuer signed it. BadRequest otherwise; whether that issuer is to be
    trusted is for the caller to say."""
    try:
        head, body, signature = token.split(".")
        found: dict[str, Any] = json.loads(_unb64(body))
        issuer = found["iss"]
        kind = {"O": "operator", "A": "account"}[issuer[0]]
        holds = keys.verify(issuer, kind, f"{head}.{body}".encode(), _unb64(signature))  # type: ignore[arg-type]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise BadRequest("this is no credential", field="credential") from None
    if not holds:
        raise BadRequest("this credential was altered", field="credential")
    return found


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

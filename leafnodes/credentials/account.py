"""A tier's own account: who may connect to its server, and which keys may let others in."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from bus import subjects
from leafnodes.credentials import jwt, scopes
from leafnodes.credentials.store import Keys, State

NAME, SYSTEM = "OTE", "SYS"
#: In 2100: a credential that was made before then is void.
_FOR_EVER = 4_102_444_800
_CONNECTIONS = "$SYS.ACCOUNT.{}.>"


def operator(keys: Keys, path: str) -> str:
    """The operator of the tier's server: the tier."""
    return jwt.operator(keys.operator, path, keys.system.public)


def system(keys: Keys) -> str:
    """The system account, which tells each account of its own connections."""
    told = {"name": "connections", "subject": _CONNECTIONS.format("*"), "type": "stream", "account_token_position": 3}
    return jwt.account(keys.operator, keys.system.public, SYSTEM, {"exports": [told]})


def account(keys: Keys, path: str, state: State, cut: Iterable[str] = ()) -> str:
    """The account in which all is. It says who was revoked, or is cut off for a while, and of whose children
    this tier is an alternate."""
    heard = {
        "name": "connections",
        "subject": _CONNECTIONS.format(keys.account.public),
        "account": keys.system.public,
        "type": "stream",
        "local_subject": subjects.server_events(),
    }
    signing: list[Any] = [keys.local.public, _scoped(keys.admission.public, path, path)]
    hosts = {child: known.public.admission for child, known in state.children.items() if known.hosts}
    signing += [_scoped(key, path, parent) for parent, key in sorted({**state.carries, **hosts}.items())]
    nats: dict[str, Any] = {"signing_keys": signing, "imports": [heard]}
    if void := sorted({*state.revoked, *cut}):
        # For ever: whoever was revoked comes back with another key, who was cut off when he is not named here.
        nats["revocations"] = dict.fromkeys(void, _FOR_EVER)
    return jwt.account(keys.operator, keys.account.public, NAME, nats)


def _scoped(key: str, host: str, parent: str) -> Mapping[str, Any]:
    template = {**scopes.child(host, parent), "subs": jwt.NO_LIMIT, "data": jwt.NO_LIMIT, "payload": jwt.NO_LIMIT}
    return {"kind": "user_scope", "key": key, "role": f"children of {parent}", "template": template}


def child(
    keys: Keys, path: str, public: str, *, account: str, carried: Iterable[str] = (), life: float | None = None
) -> str:
    """The credential of a child with this public key, good at the server of `account`, for `life` seconds."""
    name = path.rpartition(".")[2]
    siblings = [sibling.rpartition(".")[2] for sibling in carried]
    expires = None if life is None else time.time() + life
    return jwt.user(keys.admission, public, path, account=account, tags=scopes.tags(name, siblings), expires=expires)


def local(
    keys: Keys, public: str, name: str, permissions: scopes.Permissions, *, tier: str, expires: float | None = None
) -> str:
    """A user of the server of this tier. `expires` is seconds since 1970."""
    tags = (f"tier:{tier}",)
    account = keys.account.public
    return jwt.user(keys.local, public, name, account=account, permissions=permissions, tags=tags, expires=expires)

"""What each kind of user may: permissions as a JWT holds them (DESIGN 7). `pub` is what a user sends to the server,
`sub` what it hears.

A child's user has no permissions of its own. Its parent's admission key is a scoped signing key: the account that takes
the child in fixes what such a user may, below the parent's path, and the child's tags only fill in its name:
`n:site1` who it is, `c:east` whose children it may carry as an alternate. Without a value a server would drop the
lines that ask for one; `_` is no label, and names nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bus import paths, subjects

Permissions = dict[str, Any]

_NAME, _CARRIED = "{{tag(n)}}", "{{tag(c)}}"
_NOBODY = "_"
_LEAF, _CLIENTS = ["LEAFNODE"], ["STANDARD", "WEBSOCKET"]


def tags(name: str, carried: Iterable[str] = ()) -> tuple[str, ...]:
    """The tags of the user of a child (`site1`) that carries the children of these siblings of its own (`site2`)."""
    return (f"n:{name}", *(f"c:{sibling}" for sibling in sorted(carried) or [_NOBODY]))


def child(host: str, parent: str) -> Permissions:
    """A cluster whose parent is `parent`, attached to `host`: that is its parent, or an alternate."""
    me = f"{parent}.{_NAME}"
    said, sent = subjects.said_by(me), subjects.sent_to(me)
    above = [host, *paths.ancestors(paths.Path(host))]
    scopes = [parent, *paths.ancestors(paths.Path(parent))]
    up = [*said, *sent, *subjects.below([*said, *sent]), subjects.knocks(host, me)]
    up += [subjects.answers_to(tier) for tier in above]
    down = [*sent, *subjects.told(me)]
    down += [*subjects.below(down), *(subject for scope in scopes for subject in subjects.scoped_at(scope))]
    down += [subjects.pulse(host), subjects.answers_below(me)]
    never: list[str] = []
    if host == parent:
        carried = f"{parent}.{_CARRIED}"
        up += [subjects.joins(me), *subjects.below(subjects.said_by(carried))]
        down += [*subjects.scoped_at(carried), *subjects.below([*subjects.sent_to(carried), *subjects.told(carried)])]
        down.append(subjects.answers_below(carried))
        # What a sibling is answered itself is not for who only carries its children.
        never.append(subjects.answers_to(carried))
    return _permissions(up, down, _LEAF, never)


def newcomer(path: str) -> Permissions:
    """Whoever has a token for this path: may ask for admission, and hear the answer."""
    return _permissions([subjects.joins(path)], [subjects.answers_to(path, NEWCOMER)], _LEAF)


def tier() -> Permissions:
    """The services of the tier itself: all."""
    return {"pub": {}, "sub": {}, "allowed_connection_types": _CLIENTS}


def person(path: str, name: str) -> Permissions:
    """Who works with `ote` or `nats` on this tier: asks its API, in no other name."""
    return _permissions(subjects.local_by(name), [subjects.answers_to(path, name)], _CLIENTS)


def shim(path: str, name: str, kind: str) -> Permissions:
    """Whoever is the shim of this kind: is asked, and answers who asked."""
    answers = {"max": -1, "ttl": 86_400 * 10**9}
    return {**_permissions([], [*subjects.shims(kind), subjects.answers_to(path, name)], _CLIENTS), "resp": answers}


#: The part of a new cluster's inboxes that its token is good for.
NEWCOMER = "newcomer"


def _permissions(up: list[str], down: list[str], kinds: list[str], never: Iterable[str] = ()) -> Permissions:
    # An empty list of what is allowed would allow all.
    sub = {"allow": down, **({"deny": list(never)} if never else {})}
    pub = {"allow": up} if up else {"deny": [">"]}
    return {"pub": pub, "sub": sub, "allowed_connection_types": kinds}

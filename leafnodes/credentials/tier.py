"""The credentials of one tier, as its services use them: loaded, changed, and kept."""

from __future__ import annotations

import secrets
import time
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from bus import paths
from bus.errors import Conflict
from leafnodes.credentials import account, jwt, scopes
from leafnodes.credentials.joining import Admittance, Application, Token
from leafnodes.credentials.keys import KeyPair
from leafnodes.credentials.store import Child, Link, Public, State, Store

#: How long the credential of a cluster is good, if nothing else is said (seconds).
LIFE = 90 * 86_400.0
#: It is renewed when so much of its life is left.
LAST_PART = 0.2
#: So many siblings take in the children of one that is lost.
NEIGHBOURS = 8
SERVICES = "tier"


class Credentials:
    """What a tier has in its directory. What it lacks is made when it is first asked for."""

    def __init__(self, store: Store, state: State) -> None:
        self._store = store
        self.state = state
        self.keys = store.keys()
        self._files: dict[str, Path] = {}
        self._borrowed: Path | None = None
        #: Public keys of those who are cut off for a while; who starts anew has forgotten it.
        self.cut: set[str] = set()
        self._write_links()

    @classmethod
    def load(cls, state_dir: Path) -> Self | None:
        """Those in this tier's directory; None if it has none. Conflict if they cannot be read."""
        store = Store(state_dir)
        return cls(store, store.state()) if store.exists else None

    @classmethod
    def found(cls, state_dir: Path, state: State) -> Self:
        """New ones. Conflict if there are some."""
        store = Store(state_dir)
        if store.exists:
            raise Conflict(f"{store.directory} holds credentials already", field="--state")
        store.keys()
        store.save(state)
        return cls(store, state)

    @property
    def path(self) -> str:
        """Whose they are."""
        return self.state.path

    @property
    def public(self) -> Public:
        """What others may know of them."""
        return self.keys.public

    def change(self, **changes: Any) -> bool:
        """Keeps what has changed of the state; whether anything did."""
        state = self.state.model_copy(update=changes)
        if state == self.state:
            return False
        self._store.save(state)
        self.state = state
        self._write_links()
        return True

    # Up ----------------------------------------------------------------------------------------

    def link_file(self, host: str) -> Path | None:
        """The file with the credential for the server of this tier."""
        return self._borrowed or self._files.get(host)

    def borrow(self, token: Token) -> None:
        """Attaches by the credential of a token, until there is one of its own."""
        self._borrowed = self._store.write_link("token", token.credential, token.seed)

    def give_back(self) -> None:
        """Attaches by its own credentials."""
        self._borrowed = None

    def apply(self, token: Token | None = None, before: Mapping[str, int] | None = None) -> bytes:
        """What this tier says to its parent: with a token, or of what it has become. `before` is up to which seq each
        life of its log was written without a key."""
        secret = token.secret if token is not None else None
        spoken = sorted((before or {}).items())
        hosts = bool(self.state.children)
        said = Application(path=self.path, public=self.public, token=secret, hosts=hosts, before=spoken)
        return said.pack(self.keys)

    def adopt(self, given: Admittance, *, afresh: bool = False) -> bool:
        """Keeps what the parent gave; whether anything has changed. A credential that is good for long is kept, unless
        all shall be new (`afresh`)."""
        links = {host: link if afresh else self._better(host, link) for host, link in given.links.items()}
        revoked = sorted({*self.state.revoked, *given.revoked})
        trusted = {**self.state.trusted, **given.trusted}
        told = {"links": links, "carries": given.carries, "cards": given.cards}
        return self.change(**told, trusted=trusted, revoked=revoked)

    def _better(self, host: str, new: Link) -> Link:
        old = self.state.links.get(host)
        if old is None or old.account != new.account:
            return new
        before, after = jwt.claims(old.credential), jwt.claims(new.credential)
        same = all(before.get(name) == after.get(name) for name in ("iss", "sub", "nats"))
        return old if same and not is_due(before) else new

    @property
    def due(self) -> bool:
        """Whether a credential is in the last fifth of its life, or over."""
        return any(is_due(jwt.claims(link.credential)) for link in self.state.links.values())

    @property
    def expires(self) -> float | None:
        """When that for its own parent ends (seconds since 1970); None: never, or there is none."""
        own = self.state.links.get(paths.parent(self.path) or "")
        return jwt.claims(own.credential).get("exp") if own is not None else None

    def _write_links(self) -> None:
        seed = self.keys.cluster.seed
        links = self.state.links.items()
        before = set(self._files.values())
        self._files = {host: self._store.write_link(host, link.credential, seed) for host, link in links}
        # The server may still read those of a moment ago.
        self._store.sweep({*self._files.values(), *before, *([self._borrowed] if self._borrowed else [])})

    # Down --------------------------------------------------------------------------------------

    def invite(self, path: str, tags: Sequence[str], parent: str, life: float) -> Token:
        """A token for this path, good for so many seconds; `parent` is the leaf url of this tier."""
        pair, expires = KeyPair.make("user"), time.time() + life
        newcomer = scopes.newcomer(path)
        credential = account.local(self.keys, pair.public, path, newcomer, tier=self.path, expires=expires)
        root = self.path.split(".")[0]
        trusted = {self.path: self.public.cluster}
        if root in self.state.trusted:
            trusted[root] = self.state.trusted[root]
        return Token(
            path=path,
            tags=list(tags),
            expires=expires,
            parent=parent,
            trusted=trusted,
            credential=credential,
            seed=pair.seed,
            secret=secrets.token_urlsafe(18),
        )

    def admittance(self, path: str, life: float) -> Admittance:
        """All that an admitted child is given; its credentials are good for so many seconds."""
        child, public = self.state.children[path], self.public
        near = ring(path, self.state.children)
        behind = {sibling for sibling in self.state.children if path in ring(sibling, self.state.children)}
        carried = {sibling for sibling in behind if self.state.children[sibling].hosts}
        own = self._issue(path, child.public, public.account, life, carried)
        # When this tier is lost its children find others: its siblings, and its own parent.
        above = {host: link.account for host, link in self.state.links.items() if host == paths.parent(self.path)}
        elsewhere = {**self.state.cards, **above}
        return Admittance(
            state="admitted",
            links={
                self.path: own,
                **{host: self._issue(path, child.public, card, life) for host, card in elsewhere.items()},
            },
            carries={sibling: self.state.children[sibling].public.admission for sibling in sorted(carried)},
            cards={sibling: self.state.children[sibling].public.account for sibling in near},
            trusted={**self.state.trusted, self.path: public.cluster},
            revoked=list(self.state.revoked) if carried or child.hosts else [],
        )

    def _issue(self, path: str, public: Public, host: str, life: float, carried: Iterable[str] = ()) -> Link:
        token = account.child(self.keys, path, public.cluster, account=host, carried=carried, life=life)
        return Link(account=host, credential=token)

    def admit(self, path: str, child: Child) -> bool:
        """This is a child from now on; whether that is news."""
        return self.change(children={**self.state.children, path: child})

    def revoke(self, public: str) -> bool:
        """Nobody connects by this key any more; whether that is news."""
        left = {path: child for path, child in self.state.children.items() if child.public.cluster != public}
        return self.change(revoked=sorted({*self.state.revoked, public}), children=left)

    # Inside ------------------------------------------------------------------------------------

    def services_file(self) -> Path:
        """The credential of the services of this tier: those of all its processes use the same."""
        file = self._store.user_file(SERVICES)
        return file if file.exists() else self.user(SERVICES, scopes.tier())

    def person(self, name: str) -> Path:
        """The credential of somebody who asks this tier's API."""
        return self.user(paths.parse_name(name, "user"), scopes.person(self.path, name))

    def shim(self, kind: str) -> Path:
        """The credential of a shim that is a process of its own."""
        name = f"shim-{paths.parse_name(kind, 'shim')}"
        return self.user(name, scopes.shim(self.path, name, kind))

    def user(self, name: str, permissions: scopes.Permissions) -> Path:
        """A new credential for a user of this tier's own server; the one before stays good."""
        pair = KeyPair.make("user")
        token = account.local(self.keys, pair.public, name, permissions, tier=self.path)
        return self._store.write_user(name, token, pair.seed)


def ring(path: str, siblings: Iterable[str]) -> list[str]:
    """The siblings that follow this one, in order of path, closed to a ring."""
    others = sorted({*siblings} - {path})
    start = bisect_right(others, path)
    return [*others[start:], *others[:start]][:NEIGHBOURS]


def is_due(claims: dict[str, Any], now: float | None = None) -> bool:
    """Whether a credential that claims this is in the last fifth of its life, or over; `now` is seconds since 1970."""
    end, begin = claims.get("exp"), claims["iat"]
    return end is not None and end - (time.time() if now is None else now) < LAST_PART * (end - begin)

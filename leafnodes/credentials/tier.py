"""The credentials of one tier, as its services use them: loaded, changed, and kept."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from bus import paths
from bus.errors import Conflict
from leafnodes.credentials import account, jwt, keys, scopes
from leafnodes.credentials.keys import KeyPair
from leafnodes.credentials.store import Link, Public, State, Store

#: How long the credential of a cluster is good, if nothing else is said (seconds).
LIFE = 90 * 86_400.0
SERVICES = "tier"


class Credentials:
    """What a tier has in its directory. What it lacks is made when it is first asked for."""

    def __init__(self, store: Store, state: State) -> None:
        self._store = store
        self.state = state
        self.keys = store.keys()
        self._files: dict[str, Path] = {}
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
        return self._files.get(host)

    def expires(self) -> float | None:
        """When the first of the credentials for other servers ends (seconds since 1970); None: never."""
        ends = [jwt.claims(link.credential).get("exp") for link in self.state.links.values()]
        return min((float(end) for end in ends if end), default=None)

    def issued(self) -> float:
        """When that for its own parent was made (seconds since 1970)."""
        own = self.state.links.get(paths.parent(self.path) or "")
        return float(jwt.claims(own.credential)["iat"]) if own is not None else time.time()

    def _write_links(self) -> None:
        seed = self.keys.cluster.seed
        links = self.state.links.items()
        before = set(self._files.values())
        self._files = {host: self._store.write_link(host, link.credential, seed) for host, link in links}
        # The server may still read those of a moment ago.
        self._store.sweep({*self._files.values(), *before})

    # Down --------------------------------------------------------------------------------------

    def child(
        self, path: str, public: Public, cards: Mapping[str, str], carried: tuple[str, ...], life: float
    ) -> dict[str, Link]:
        """The credentials of a child: for this server, and for those to which it may go when this one is lost: `cards`
        are their accounts. `carried` are the siblings whose children it may take in."""
        raw = public.cluster
        keys.raw(raw, "user")
        own = account.child(self.keys, path, raw, account=self.public.account, carried=carried, life=life)
        links = {self.path: Link(account=self.public.account, credential=own)}
        for host, card in cards.items():
            token = account.child(self.keys, path, raw, account=card, life=life)
            links[host] = Link(account=card, credential=token)
        return links

    def newcomer(self, path: str, expires: float) -> tuple[str, str]:
        """A credential for who has a token for this path, and its seed."""
        pair = KeyPair.make("user")
        return account.local(
            self.keys, pair.public, path, scopes.newcomer(path), tier=self.path, expires=expires
        ), pair.seed

    def revoke(self, public: str, now: float) -> None:
        """Nobody connects by this key any more."""
        self.change(revoked={**self.state.revoked, public: int(now)})

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

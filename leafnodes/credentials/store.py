"""The files of a tier's credentials, in `<state>/credentials` (0700, files 0600):

    keys.json    the seeds: operator, account, system, admission, local, cluster
    state.json   who this tier is, where it may attach, whom it has revoked, whose children it takes in
    links/       for each tier to which it may attach the credential for that server, with the cluster's seed
    users/       credentials of the users of the tier's own server

The cluster key is who the cluster is: it attaches to its parents by it, and signs its events. None of these files
ever leaves this machine.
"""

from __future__ import annotations

import os
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bus.errors import Conflict
from leafnodes.credentials.keys import KeyPair
from leafnodes.files import write_private

DIRECTORY = "credentials"

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Keys:
    """The key pairs of a tier."""

    operator: KeyPair
    account: KeyPair
    system: KeyPair
    admission: KeyPair
    local: KeyPair
    cluster: KeyPair

    @classmethod
    def make(cls) -> Self:
        """New ones."""
        accounts = {name: KeyPair.make("account") for name in ("account", "system", "admission", "local")}
        return cls(operator=KeyPair.make("operator"), cluster=KeyPair.make("user"), **accounts)

    @property
    def public(self) -> Public:
        """What others may know."""
        return Public(cluster=self.cluster.public, account=self.account.public, admission=self.admission.public)


class _Model(BaseModel):
    # Later versions may add to it.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Public(_Model):
    """The public keys by which others know a tier: its cluster key, its account, and its admission key."""

    cluster: str
    account: str
    admission: str


class Link(_Model):
    """A tier to which this one may attach, by a credential of its own: `account` is that tier's."""

    account: str
    credential: str


class Child(_Model):
    """A child that was admitted; `hosts`: it has children of its own."""

    public: Public
    tags: list[str] = []
    hosts: bool = False


class State(_Model):
    """What a tier knows of itself beside its keys. `parent` is the leaf url of its own; `links` are what it may attach
    by, by the path of the host, its own parent among them; `carries` the admission keys of those whose children may
    attach to this tier, `cards` the accounts of the tiers that take in its own; `revoked` public keys that count no
    more; `trusted` the cluster keys of the tiers above; `children` who was admitted here."""

    path: str
    tags: list[str] = []
    parent: str | None = None
    trusted: dict[str, str] = {}
    links: dict[str, Link] = {}
    carries: dict[str, str] = {}
    cards: dict[str, str] = {}
    children: dict[str, Child] = {}
    revoked: list[str] = []


class _Seeds(_Model):
    operator: str
    account: str
    system: str
    admission: str
    local: str
    cluster: str


class Store:
    """The directory."""

    def __init__(self, state_dir: Path) -> None:
        self.directory = state_dir / DIRECTORY

    @property
    def exists(self) -> bool:
        """Whether there are credentials."""
        return (self.directory / "state.json").exists()

    def keys(self) -> Keys:
        """The key pairs, made when they are first asked for."""
        file = self.directory / "keys.json"
        if not file.exists():
            made = Keys.make()
            self._prepare(self.directory)
            write_private(file, _Seeds(**{name: pair.seed for name, pair in vars(made).items()}).model_dump_json())
        seeds = _read(file, _Seeds)
        return Keys(**{name: KeyPair(seed) for name, seed in seeds.model_dump().items()})

    def state(self) -> State:
        """What was kept. Conflict if it cannot be read."""
        return _read(self.directory / "state.json", State)

    def save(self, state: State) -> None:
        """Keeps it."""
        self._prepare(self.directory)
        write_private(self.directory / "state.json", state.model_dump_json(indent=2) + "\n")

    def user_file(self, name: str) -> Path:
        """Where the credential of a user of the tier's own server is."""
        return self.directory / "users" / f"{name}.creds"

    def write_user(self, name: str, token: str, seed: str) -> Path:
        """Keeps the credential of a user."""
        return self._write(self.user_file(name), token, seed)

    def write_link(self, host: str, token: str, seed: str) -> Path:
        """Keeps the credential for the server of this tier. One that is new has a name that is new, so that a server
        which reads its configuration again sees that it has changed."""
        return self._write(self.directory / "links" / f"{host}.{token[-16:]}.creds", token, seed)

    def sweep(self, keep: Set[Path]) -> None:
        """Removes the credentials of links that were replaced."""
        for file in (self.directory / "links").glob("*.creds"):
            if file not in keep:
                file.unlink(missing_ok=True)

    def _write(self, file: Path, token: str, seed: str) -> Path:
        self._prepare(file.parent)
        write_private(
            file,
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n",
        )
        return file

    def _prepare(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        os.chmod(self.directory, 0o700)
        os.chmod(directory, 0o700)


def _read(file: Path, model: type[M]) -> M:
    try:
        return model.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        raise Conflict(
            f"{file} is damaged, or is not there",
            hint="bring it back from a backup; else join again, with a new token (ote join)",
        ) from None

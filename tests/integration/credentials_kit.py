"""Trees of tiers with credentials of their own, as `ote init` and `ote join` leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from leafnodes.credentials.store import State
from leafnodes.credentials.tier import LIFE, Credentials
from tests.integration.tiers import LocalTier, Tier, Tiers


def found(directory: Path, path: str) -> Path:
    """The directory of a root with credentials."""
    state = directory / f"{path}-state"
    Credentials.found(state, State(path=path))
    return state


def admit(parent: Path, directory: Path, path: str, *, carried: tuple[str, ...] = (), life: float = LIFE) -> Path:
    """The directory of a child that its parent has admitted."""
    state = directory / f"{path}-state"
    child = Credentials.found(state, State(path=path))
    host = Credentials.load(parent)
    assert host is not None
    child.change(links=host.child(path, child.public, {}, carried, life))
    return state


async def trusted(tiers: Tiers, path: str, parent: Tier | None = None, **settings: Any) -> LocalTier:
    """A tier with credentials, admitted by its parent."""
    state = found(tiers.directory, path) if parent is None else admit(parent.state, tiers.directory, path)
    return await tiers.grow(path, parent, state=state, **settings)

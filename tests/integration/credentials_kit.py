"""Trees of tiers with credentials of their own, as `ote init` and `ote join` leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bus import subjects
from bus.event import Draft
from bus.types import ADMITTED
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
    above = {**host.state.trusted, host.path: host.public.cluster}
    child.change(links=host.child(path, child.public, {}, carried, life), trusted=above)
    return state


async def trusted(tiers: Tiers, path: str, parent: Tier | None = None, **settings: Any) -> LocalTier:
    """A tier with credentials, admitted by its parent."""
    if parent is None:
        return await tiers.grow(path, state=found(tiers.directory, path), **settings)
    state = admit(parent.state, tiers.directory, path)
    assert isinstance(parent, LocalTier)
    await vouch(parent, state)
    return await tiers.grow(path, parent, state=state, **settings)


async def vouch(parent: LocalTier, state: Path) -> None:
    """The parent's word on the key of the child in this directory."""
    child = Credentials.load(state)
    assert child is not None
    data = {"path": child.path, "key": child.public.cluster, "tags": {}}
    draft = Draft(ADMITTED, subjects.event(ADMITTED, parent.path), data)
    await parent.runtime.log.write(lambda tx: tx.append(draft))

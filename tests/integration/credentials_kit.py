"""Trees of tiers with credentials of their own, made as `ote init` and `ote join` make them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from leafnodes.credentials.joining import Token
from leafnodes.credentials.store import State
from leafnodes.credentials.tier import Credentials
from services.tier import joining
from tests.integration.tiers import LocalTier, Tier, Tiers


def found(directory: Path, path: str = "root") -> Path:
    """The directory of a root with credentials."""
    state = directory / f"{path}-state"
    Credentials.found(state, State(path=path))
    return state


async def token(parent: Tier, path: str, **request: Any) -> Token:
    """A token of this parent."""
    return Token.parse((await parent.ask("join_token", {"path": path, **request}))["token"])


async def admit(parent: Tier, directory: Path, path: str, **request: Any) -> Path:
    """The directory of a child that its parent has admitted."""
    state = directory / f"{path}-state"
    await joining.join(await token(parent, path, **request), state, lambda _: None)
    return state


async def trusted(tiers: Tiers, path: str, parent: Tier | None = None, **settings: Any) -> LocalTier:
    """A tier with credentials, admitted by its parent."""
    state = found(tiers.directory, path) if parent is None else await admit(parent, tiers.directory, path)
    return await tiers.grow(path, parent, state=state, **settings)

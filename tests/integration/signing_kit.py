"""Tiers with keys: who has which, and what their parents say of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus import paths, subjects
from bus.event import Draft, Event
from bus.signing import Signer
from bus.types import ADMITTED, REJECTED, REVOKED
from services.tier.trust import Trust
from tests.integration.tiers import LocalTier, Tier, Tiers
from tests.support import eventually, new_seed


class Keyed:
    """A tree whose tiers have keys. They log in with passwords: what is tested here is what events prove."""

    def __init__(self, tiers: Tiers, directory: Path) -> None:
        self.tiers = tiers
        self._directory = directory
        self._signers: dict[str, Signer] = {}

    def key(self, path: str) -> Signer:
        """The key of this cluster; made when it is first asked for."""
        return self._signers.setdefault(path, Signer(new_seed()))

    def trust(self, path: str) -> Trust:
        """What the cluster knows when it starts."""
        above = {str(each): self.key(each).public for each in paths.ancestors(paths.Path(path))}
        file = self._directory / f"{path}.unsigned.json"
        before = json.loads(file.read_bytes()) if file.exists() else None
        return Trust(path, self.key(path), above, before, file)

    async def grow(self, path: str, parent: LocalTier | None = None, **more: Any) -> LocalTier:
        """A tier that its parent has admitted."""
        if parent is not None:
            await self.admit(parent, path)
        return await self.tiers.grow(path, parent, trust=self.trust(path), **more)

    async def admit(self, parent: LocalTier, path: str, **more: Any) -> Event:
        """The parent's word on the key."""
        return await say(parent, ADMITTED, {"path": path, "key": self.key(path).public, "tags": {}, **more})

    async def revoke(self, by: LocalTier, path: str, through: Mapping[str, int]) -> Event:
        """The end of the key."""
        places = [list(place) for place in through.items()]
        return await say(by, REVOKED, {"path": path, "key": self.key(path).public, "through": places})


async def say(tier: LocalTier, kind: str, data: Mapping[str, Any]) -> Event:
    """Something in the tier's own words."""
    draft = Draft(kind, subjects.event(kind, tier.path), data)
    return await tier.runtime.log.write(lambda tx: tx.append(draft))


async def rejected(tier: Tier, by: str, reason: str, deadline: float = 30.0) -> Event | dict[str, Any]:
    """The word of the tier `by` that something was not believed for this reason, as `tier` holds it."""

    async def told() -> dict[str, Any] | None:
        events = await tier.log(type=REJECTED)
        return next((e for e in events if e["source"] == by and e["data"]["reason"] == reason), None)

    return await eventually(told, deadline, what=f"{by} rejects what is {reason}, as {tier.path} sees it") or {}

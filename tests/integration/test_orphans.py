"""A parent that many have dies: they spread over those that take them in, and nobody takes in more than he may."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from tests.integration.tiers import LocalTier, Tiers, config
from tests.support import eventually

QUICK: dict[str, Any] = {"failover": True, "child_login": "child:one-for-the-tree", "fallback_after": 0.5}
HOME, OTHERS = "root.a", ("root.b", "root.c")
ORPHANS, GUESTS = 8, 3


async def test_orphans_are_spread_and_come_home(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        root = await tiers.grow("root", shims=(), **QUICK)
        home, *others = [await tiers.grow(path, root, shims=(), guests=GUESTS, **QUICK) for path in (HOME, *OTHERS)]
        sites = [f"{HOME}.s{number}" for number in range(ORPHANS)]
        grown = [await tiers.grow(path, home, **QUICK) for path in sites]
        for site in grown:
            await eventually(lambda site=site: set(OTHERS) <= set(site.controller.kin.routes), what="it knows both")
        await home.stop()
        answer = await root.submit(f"under:{HOME} and like:s", config("during"), wait=30)
        assert answer["summary"] == {"succeeded": ORPHANS}
        await eventually(lambda: _settled(grown), what="all have found a place")
        at = await _hosts(root)
        assert sum(at.values()) == ORPHANS and at[HOME] == 0
        assert all(at[path] <= GUESTS for path in OTHERS), at
        assert [len(other.controller.ways.guests.present) for other in others] == [at[path] for path in OTHERS]
        await home.start()
        await eventually(lambda: _at_home(root), 30, what="all are back")
        answer = await root.submit(f"under:{HOME} and like:s", config("after"), wait=30)
        assert answer["summary"] == {"succeeded": ORPHANS}
        assert not any(tier.controller.ways.guests.present for tier in (root, *others))


def _settled(sites: list[LocalTier]) -> bool:
    movers = [site.controller.ways.supervisor for site in sites]
    return all(mover is not None and mover.decider.settled and mover.decider.at != HOME for mover in movers)


async def _hosts(root: LocalTier) -> Counter[str]:
    """How many sites are where, once the root sees all of them online."""
    found: Counter[str] = Counter()

    async def all_there() -> bool:
        rows = [row for row in (await root.clusters()).values() if row["path"].startswith(f"{HOME}.")]
        found.clear()
        found.update(row["attached_to"] for row in rows if row["state"] == "online")
        return found.total() == ORPHANS

    await eventually(all_there, what="the root sees all online")
    return found


async def _at_home(root: LocalTier) -> bool:
    return (await _hosts(root))[HOME] == ORPHANS

"""A tier that has lost its way to its parent reaches it through a sibling: on real servers, with real links."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.controller.links.supervisor import Supervisor
from tests.integration.tiers import LocalTier, Tiers, config
from tests.support import eventually

EAST, WEST = "root.east", "root.west"
QUICK: dict[str, Any] = {"failover": True, "child_login": "child:one-for-the-tree", "fallback_after": 0.5}


@dataclass
class Siblings:
    """A root and two regions, which have nobody but it and each other."""

    root: LocalTier
    east: LocalTier
    west: LocalTier

    async def by_way_of(self, via: str | None, tier: LocalTier | None = None) -> None:
        """Returns when the tier (the first region) is at its parent by this way, and the root sees it online there."""
        tier = tier or self.east
        own = mover(tier)
        await eventually(lambda: own.decider.settled and own.uplink.via == via, what=f"attached by way of {via}")

        async def seen() -> bool:
            row = (await self.root.clusters())[tier.path]
            return (row["attached_to"], row["state"]) == ("root", "online")

        await eventually(seen, what="the root sees it online, and at itself")

    async def passes(self, to: str, name: str) -> str:
        """A command of the root is done there; its id."""
        answer = await self.root.submit(to, config(name), wait=30)
        assert answer["summary"] == {"succeeded": 1}
        return str(answer["id"])


def mover(tier: LocalTier) -> Supervisor:
    found = tier.controller.ways.supervisor
    assert found is not None
    return found


async def knows(tier: LocalTier, *siblings: str) -> None:
    await eventually(lambda: set(siblings) <= set(tier.controller.kin.routes), what=f"{tier.path} knows {siblings}")


@asynccontextmanager
async def siblings(directory: Path, **settings: Any) -> AsyncIterator[Siblings]:
    async with Tiers(directory) as tiers:
        given = QUICK | settings
        root = await tiers.grow("root", shims=(), **given)
        east = await tiers.grow(EAST, root, **given)
        west = await tiers.grow(WEST, root, **given)
        await knows(east, WEST)
        await knows(west, EAST)
        yield Siblings(root, east, west)


async def test_a_region_whose_link_is_cut_reaches_the_root_through_its_sibling_and_goes_back(tmp_path: Path) -> None:
    async with siblings(tmp_path) as tree:
        await tree.east.link.cut()
        sent = await tree.passes(EAST, "during")
        await tree.by_way_of(WEST)
        own = await tree.east.submit(EAST, config("of-its-own"), wait=30)
        await tree.root.tells("succeeded", EAST, [sent, own["id"]])
        await tree.east.link.heal()
        await tree.by_way_of(None)
        await tree.passes(EAST, "after")
        relay = tree.west.runtime.relay
        assert relay is not None
        await eventually(lambda: not relay.carried, what="nothing of it is left at the sibling")


async def test_a_black_hole_is_gone_around_and_both_ends_show_it(tmp_path: Path) -> None:
    async with siblings(tmp_path, fallback_after=60) as tree:
        await tree.east.link.hang()
        await tree.passes(EAST, "during")
        await tree.by_way_of(WEST)
        links = await tree.east.ask("links")
        assert (links["parent"], links["attached_to"], links["via"]) == ("root", "root", WEST)
        assert [(place["path"], place["relation"], place["health"]) for place in links["places"]] == [
            ("root", "parent", "hung"),
            (WEST, "sibling", "good"),
        ]
        assert not links["relay"]["open"]

        async def shown() -> bool:
            carrier, host = await tree.west.ask("links"), await tree.root.ask("links")
            vias = {link["path"]: link["via"] for link in host["below"]}
            return carrier["relay"]["siblings"] == [EAST] and vias == {EAST: WEST, WEST: None}

        await eventually(shown, what="the sibling and the parent say whose link is passed on")
        assert not tree.root.controller.ways.guests.present, "it is no guest: it is at its own parent"


async def test_two_that_have_both_lost_their_way_do_not_carry_each_other(tmp_path: Path) -> None:
    async with siblings(tmp_path) as tree:
        await tree.east.link.cut()
        await tree.by_way_of(WEST)
        await tree.west.link.cut()
        for tier in (tree.east, tree.west):
            await eventually(lambda tier=tier: mover(tier).uplink.link is None, what=f"{tier.path} is alone")
        for tier in (tree.east, tree.west):
            assert (await tier.submit(tier.path, config("alone"), wait=30))["summary"] == {"succeeded": 1}
            relay = tier.runtime.relay
            assert relay is not None and not relay.is_open() and not relay.carried
        await tree.west.link.heal()
        await tree.by_way_of(None, tree.west)
        await tree.by_way_of(WEST)
        await tree.passes(EAST, "together-again")
        await tree.east.link.heal()
        await tree.by_way_of(None)


async def test_a_relay_that_ends_is_left_for_the_next_and_the_parent_is_not_taken_for_dead(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        given = QUICK | {"fallback_after": 60}
        root = await tiers.grow("root", shims=(), **given)
        east = await tiers.grow(EAST, root, **given)
        others = [await tiers.grow(path, root, **given) for path in (WEST, "root.north")]
        await knows(east, WEST, "root.north")
        tree = Siblings(root, east, others[0])
        await east.link.cut()
        await eventually(lambda: mover(east).decider.settled and mover(east).uplink.via, what="it is carried")
        first, then = sorted(others, key=lambda tier: tier.path != mover(east).uplink.via)
        await first.stop()
        await tree.by_way_of(then.path)
        assert mover(east).decider.why == f"{first.path} passes the link on no more"
        await tree.passes(EAST, "by-the-other")
        await first.start()
        await tree.by_way_of(then.path)


async def test_a_sibling_that_carries_nobody_refuses(tmp_path: Path) -> None:
    async with siblings(tmp_path, relays=1) as tree:
        relay = tree.west.runtime.relay
        assert relay is not None
        relay.most = 0
        await tree.east.link.cut()
        await eventually(lambda: relay.traffic.refused > 2, what="it was refused")
        assert mover(tree.east).uplink.link is None
        assert (await tree.east.submit(EAST, config("alone"), wait=30))["summary"] == {"succeeded": 1}
        relay.most = 1
        await tree.by_way_of(WEST)
        await tree.east.link.heal()
        await tree.by_way_of(None)


async def test_a_tier_that_starts_again_while_it_is_carried_begins_by_way_of_its_sibling(tmp_path: Path) -> None:
    async with siblings(tmp_path, fallback_after=60) as tree:
        await tree.east.link.cut()
        await tree.by_way_of(WEST)
        await tree.east.stop()
        await tree.root.sees(EAST, "offline")
        await tree.east.start()
        await tree.by_way_of(WEST)
        assert mover(tree.east).decider.moves == 0
        await tree.passes(EAST, "after-the-start")

"""A site that loses its parent is served by another, and goes back: on real servers, with real links."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from leafnodes.proxy import LinkProxy
from leafnodes.server import NatsServer
from tests.integration.tiers import LocalTier, Tiers, config
from tests.support import eventually

LOGIN = "child:one-for-the-tree"
QUICK: dict[str, Any] = {"failover": True, "child_login": LOGIN, "fallback_after": 0.5}
SITE = "root.east.site1"
Fault = Callable[[LinkProxy], Awaitable[None]]


@dataclass
class Family:
    """A root, two regions, and a site below the first."""

    root: LocalTier
    east: LocalTier
    west: LocalTier
    site: LocalTier

    def at(self) -> str | None:
        """Where the site is attached."""
        ways = self.site.controller.ways.supervisor
        assert ways is not None
        return ways.decider.at if ways.decider.settled else None

    async def attached(self, path: str, deadline: float = 30.0) -> None:
        await eventually(lambda: self.at() == path, deadline, what=f"the site is attached to {path}")
        await eventually(lambda: self._seen_at(path), what="the root sees it there")

    @staticmethod
    def server(tier: LocalTier) -> NatsServer:
        assert tier.runtime.server is not None
        return tier.runtime.server

    async def passes(self, name: str, wait: float = 30) -> None:
        """A command of the root is done at the site."""
        answer = await self.root.submit(SITE, config(name), wait=wait)
        assert answer["summary"] == {"succeeded": 1}

    async def _seen_at(self, path: str) -> bool:
        row = (await self.root.ask("clusters", {"select": SITE}))["clusters"][0]
        return (row["attached_to"], row["state"]) == (path, "online")


@asynccontextmanager
async def family(directory: Path, **settings: Any) -> AsyncIterator[Family]:
    async with Tiers(directory) as tiers:
        given = QUICK | settings
        root = await tiers.grow("root", shims=(), **given)
        east = await tiers.grow("root.east", root, shims=(), **given)
        west = await tiers.grow("root.west", root, shims=(), **given)
        site = await tiers.grow(SITE, east, **given)
        grown = Family(root, east, west, site)
        await eventually(lambda: _knows(site, "root.west"), what="the site has learned of the other region")
        yield grown


def _knows(site: LocalTier, path: str) -> bool:
    return path in site.controller.kin.routes


async def test_alternates_are_believed_by_the_authority_in_their_addresses(tmp_path: Path) -> None:
    async with family(tmp_path, tls="on") as tree:
        assert tree.east.leaf.startswith("tls://")
        await tree.east.stop()
        await tree.attached("root.west")
        answer = await tree.root.submit(SITE, config("during"), wait=30)
        assert answer["summary"] == {"succeeded": 1}
        await tree.east.start()
        await tree.attached("root.east")
        assert (await tree.root.submit(SITE, config("after"), wait=30))["summary"] == {"succeeded": 1}


async def test_a_site_learns_where_it_could_attach_and_remembers(tmp_path: Path) -> None:
    async with family(tmp_path) as tree:
        assert list(tree.site.controller.kin.routes) == ["root.east", "root.west", "root"]
        assert "one-for-the-tree" not in str(tree.site.controller.kin.family)
        before = tree.site.controller.kin.family
        await tree.site.stop()
        await tree.east.link.cut()
        await tree.site.start()
        assert tree.site.controller.kin.family == before


@pytest.mark.parametrize("fault", [LinkProxy.cut, LinkProxy.hang], ids=["cut", "a black hole"])
async def test_a_command_reaches_a_site_whose_link_is_gone(tmp_path: Path, fault: Fault) -> None:
    async with family(tmp_path) as tree:
        await fault(tree.site.link)
        await tree.passes("during")
        await tree.attached("root.west")
        await tree.site.link.heal()
        await tree.attached("root.east")
        await tree.passes("after")


async def test_a_guest_and_its_own_parent_still_reach_each_other(tmp_path: Path) -> None:
    """By way of the log of the ancestor that both reach, in order, and in both directions."""
    async with family(tmp_path, fallback_after=60) as tree:
        await tree.site.link.cut()
        await tree.attached("root.west")
        sent = []
        for number in range(5):
            answer = await tree.east.submit(SITE, config(f"from-east-{number}"), wait=30)
            assert answer["summary"] == {"succeeded": 1}, "the parent hears of it although the site is elsewhere"
            sent.append(answer["id"])
        await tree.site.tells("succeeded", SITE, sent)
        assert (await tree.east.clusters())[SITE]["attached_to"] == "root.west"
        own = await tree.site.submit(SITE, config("of-its-own"), wait=30)
        await tree.east.tells("succeeded", SITE, [*sent, own["id"]])


async def test_an_alternate_that_is_full_sends_on_and_the_grandparent_takes_in(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        root = await tiers.grow("root", shims=(), **QUICK)
        east = await tiers.grow("root.east", root, shims=(), **QUICK)
        west = await tiers.grow("root.west", root, shims=(), guests=0, **QUICK)
        site = await tiers.grow(SITE, east, **QUICK)
        tree = Family(root, east, west, site)
        await eventually(lambda: _knows(site, "root.west"), what="the site has learned of the other region")
        await site.link.hang()
        await tree.passes("during", wait=30)
        await tree.attached("root")
        assert not west.controller.ways.guests.present
        assert list(root.controller.ways.guests.present) == [SITE]
        await site.link.heal()
        await tree.attached("root.east")
        assert not root.controller.ways.guests.present


async def test_the_host_shows_its_guest_and_says_when_it_is_gone(tmp_path: Path) -> None:
    async with family(tmp_path, fallback_after=60) as tree:
        await tree.site.link.cut()
        await tree.attached("root.west")
        assert list(tree.west.controller.ways.guests.present) == [SITE]
        await tree.site.stop()
        await tree.root.sees(SITE, "offline")
        await tree.site.start()
        await tree.attached("root.west")


async def test_a_guest_that_starts_again_begins_where_it_was(tmp_path: Path) -> None:
    """Also when its parent is healthy by then: it goes back when that has been so for a while, as always."""
    async with family(tmp_path, fallback_after=1.5) as tree:
        await tree.site.link.cut()
        await tree.attached("root.west")
        await tree.site.stop()
        await tree.site.link.heal()
        accepted = tree.site.link.accepted
        await tree.site.start()
        ways = tree.site.controller.ways.supervisor
        assert ways is not None and ways.decider.at == "root.west"
        assert ways.decider.why == "root.east is dead"
        await tree.passes("there")
        assert ways.decider.moves == 0
        links = [link.path for link in await tree.server(tree.site).leafz() if link.to_parent]
        assert links == ["root.west"]
        await tree.attached("root.east")
        assert ways.decider.moves == 1 and tree.site.link.accepted > accepted


async def test_a_site_below_a_guest_is_reached_with_it(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        root = await tiers.grow("root", shims=(), **QUICK)
        east = await tiers.grow("root.east", root, shims=(), **QUICK)
        await tiers.grow("root.west", root, shims=(), **QUICK)
        site = await tiers.grow(SITE, east, **QUICK)
        await tiers.grow(f"{SITE}.cell1", site, **QUICK)
        await eventually(lambda: _knows(site, "root.west"), what="the site has learned of the other region")
        await east.stop()
        answer = await root.submit(f"under:{SITE}", config("during"), wait=30)
        assert answer["summary"] == {"succeeded": 2}
        await root.sees("root.east", "offline")
        seen = await root.clusters()
        assert [seen[path]["state"] for path in (SITE, f"{SITE}.cell1")] == ["online", "online"]


async def test_a_site_is_moved_on_purpose_and_belongs_there(tmp_path: Path) -> None:
    async with family(tmp_path) as tree:
        moved = await tree.root.submit(SITE, {"shim": "tier", "verb": "move", "args": {"parent": "root.west"}}, wait=30)
        assert moved["targets"][SITE]["result"] == {"parent": "root.west"}
        await tree.attached("root.west")
        await tree.passes("there")
        await tree.site.stop()
        await tree.site.start()
        await tree.attached("root.west")
        wrong = await tree.root.submit(
            SITE, {"shim": "tier", "verb": "move", "args": {"parent": "root.north"}}, wait=30
        )
        assert wrong["targets"][SITE]["state"] == "failed"
        assert "root.west" in wrong["targets"][SITE]["error"]["message"]
        await tree.root.submit(SITE, {"shim": "tier", "verb": "move", "args": {"parent": "root.east"}}, wait=30)
        await tree.attached("root.east")


async def test_a_tier_in_maintenance_sends_its_children_away_and_takes_them_back(tmp_path: Path) -> None:
    async with family(tmp_path) as tree:
        await tree.root.submit("root.east", {"shim": "tier", "verb": "drain", "args": {"on": True}}, wait=30)
        await tree.attached("root.west")
        await tree.east.stop()
        await tree.passes("meanwhile")
        await tree.east.start()
        assert await tree.root.submit(
            "root.east", {"shim": "tier", "verb": "tag", "args": {"set": {"new": ""}}}, wait=30
        )
        assert tree.at() == "root.west", "it is not taken back before the end"
        await tree.root.submit("root.east", {"shim": "tier", "verb": "drain", "args": {"on": False}}, wait=30)
        await tree.attached("root.east")


async def test_links_show_where_a_site_is_and_could_be(tmp_path: Path) -> None:
    async with family(tmp_path, fallback_after=60) as tree:
        links = await tree.site.ask("links")
        assert (links["parent"], links["attached_to"], links["moves"]) == ("root.east", "root.east", 0)
        assert [(place["path"], place["relation"], place["health"]) for place in links["places"]] == [
            ("root.east", "parent", "good"),
            ("root.west", "parent's sibling", "good"),
            ("root", "grandparent", "good"),
        ]
        assert "one-for-the-tree" not in str(links)
        await tree.site.link.hang()
        await tree.attached("root.west")
        links = await tree.site.ask("links")
        assert (links["parent"], links["attached_to"], links["moves"]) == ("root.east", "root.west", 1)
        assert {place["path"]: place["health"] for place in links["places"]}["root.east"] == "hung"
        assert links["up"]["path"] == "root.west"
        host = await tree.west.ask("links")
        assert [(guest["path"], guest["state"]) for guest in host["guests"]] == [(SITE, "online")]
        assert [link["path"] for link in host["below"]] == [SITE]

"""A real leaf link through the proxy: cut, hung, slow, and healed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import nats
import pytest
from nats.aio.client import Client

from leafnodes.proxy import LinkProxy
from leafnodes.server import NatsServer
from tests.integration.leafnodes_kit import Tree, answer, answered, is_linked, linked
from tests.support import eventually


class Linked(NamedTuple):
    root: NatsServer
    site: NatsServer
    proxy: LinkProxy
    top: Client
    bottom: Client


@pytest.fixture
async def link(tmp_path: Path) -> AsyncIterator[Linked]:
    """A root and a site with a proxy between them; each answers the other."""
    async with Tree(tmp_path) as tree:
        root = await tree.grow("root")
        port = (await root.varz()).leaf.port
        proxy: LinkProxy = await tree.enter(LinkProxy("127.0.0.1", port))
        site = await tree.grow("root.site", str(root.leaf_url).replace(f":{port}", f":{proxy.port}"))
        await linked(site, root)
        top, bottom = await tree.client(root), await tree.client(site)
        await answer(bottom, "down", "site")
        await answer(top, "up", "root")
        yield Linked(root, site, proxy, top, bottom)


async def traffic_flows(link: Linked) -> None:
    assert await answered(link.top, "down") == b"site"
    assert await answered(link.bottom, "up") == b"root"


async def test_a_cut_link_is_noticed_at_once_and_heals(link: Linked) -> None:
    for _ in range(3):
        await traffic_flows(link)
        await link.proxy.cut()

        async def parted() -> bool:
            return not await link.root.leafz() and not await link.site.leafz()

        await eventually(parted)
        with pytest.raises(nats.errors.NoRespondersError):
            await link.top.request("down", b"", timeout=30)
        await link.proxy.heal()
        await linked(link.site, link.root)
    await traffic_flows(link)


async def test_a_hung_link_is_noticed_by_pings_and_heals(link: Linked) -> None:
    await traffic_flows(link)
    await link.proxy.hang()
    with pytest.raises(nats.errors.TimeoutError):
        await link.top.request("down", b"", timeout=0.2)
    assert await link.root.leafz(), "a silent link must not be given up before its pings are missed"

    async def noticed() -> bool:
        return not await link.root.leafz() and not await link.site.leafz()

    await eventually(noticed)
    await link.proxy.heal()
    await linked(link.site, link.root, 20)
    await traffic_flows(link)


async def test_a_short_hang_costs_time_and_nothing_else(link: Linked) -> None:
    await traffic_flows(link)
    (before,) = await link.root.leafz()
    await link.proxy.hang()
    request = asyncio.create_task(link.top.request("down", b"", timeout=30))
    await eventually(lambda: link.proxy.connections == 1)
    await link.proxy.heal()
    assert (await request).data == b"site"
    (after,) = await link.root.leafz()
    assert after.id == before.id


async def test_a_slow_link_is_slow_and_stays_up(link: Linked) -> None:
    await traffic_flows(link)
    link.proxy.delay = 0.1
    before = time.monotonic()
    await link.top.request("down", b"", timeout=30)
    assert time.monotonic() - before >= 0.2
    assert await is_linked(link.site, link.root)

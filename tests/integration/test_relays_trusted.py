"""A tier that has lost its way reaches its parent through a sibling also where everybody has credentials and all that
travels is encrypted: what the sibling carries it can neither read nor change."""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from leafnodes.certificates import Certificates, hosts_of
from tests.integration.credentials_kit import trusted
from tests.integration.test_relays import EAST, WEST, Siblings, knows, mover
from tests.integration.tiers import Tiers, config
from tests.support import eventually

QUICK: dict[str, Any] = {"failover": True, "fallback_after": 0.5}
#: Another address of this machine, for which the root's first certificate is not good.
ELSEWHERE: dict[str, Any] = {"host": "0.0.0.0", "advertise": "127.0.0.2"}


@asynccontextmanager
async def secured(directory: Path, west: dict[str, Any] | None = None, **settings: Any) -> AsyncIterator[Siblings]:
    async with Tiers(directory) as tiers:
        given = QUICK | settings
        root = await trusted(tiers, "root", shims=(), tls="on", **given)
        east = await trusted(tiers, EAST, root, **given)
        made = Siblings(root, east, await trusted(tiers, WEST, root, **(given | (west or {}))))
        assert root.leaf.startswith("tls://") and east.runtime.credentials is not None
        await knows(east, WEST)
        await knows(made.west, EAST)
        yield made


async def test_what_is_cut_goes_on_through_the_sibling_and_back(tmp_path: Path) -> None:
    async with secured(tmp_path) as tree:
        await tree.east.link.cut()
        sent = await tree.passes(EAST, "during")
        await tree.by_way_of(WEST)
        own = await tree.east.submit(EAST, config("of-its-own"), wait=30)
        await tree.root.tells("succeeded", EAST, [sent, own["id"]])
        assert (await tree.east.ask("links"))["attached_to"] == "root"
        await tree.east.link.heal()
        await tree.by_way_of(None)
        await tree.passes(EAST, "after")
        relay = tree.west.runtime.relay
        assert relay is not None and relay.traffic.up and relay.traffic.down
        await eventually(lambda: not relay.carried, what="nothing of it is left at the sibling")
        await tree.passes(WEST, "the-sibling-itself")


async def test_a_black_hole_is_gone_around_and_the_sibling_reads_nothing(tmp_path: Path) -> None:
    async with secured(tmp_path, fallback_after=60) as tree:
        read: list[bytes] = []
        relay = tree.west.runtime.relay
        assert relay is not None
        first_words = relay._pass

        async def overheard(source: StreamReader, sink: StreamWriter, *, is_up: bool) -> None:
            plain = source.read

            async def read_and_keep(most: int) -> bytes:
                chunk = await plain(most)
                read.append(chunk)
                return chunk

            source.read = read_and_keep  # type: ignore[method-assign]
            await first_words(source, sink, is_up=is_up)

        relay._pass = overheard  # type: ignore[method-assign]
        await tree.east.link.hang()
        await tree.passes(EAST, "what-nobody-reads")
        await tree.by_way_of(WEST)
        carried = b"".join(read)
        assert carried and not [
            word for word in (b"what-nobody-reads", b"ote.", b"jwt", EAST.encode()) if word in carried
        ]
        await tree.east.stop()
        await tree.root.sees(EAST, "offline")
        await tree.east.start()
        await tree.by_way_of(WEST)
        assert mover(tree.east).decider.moves == 0, "it began where it was"
        await tree.passes(EAST, "after-the-start")


async def test_a_sibling_at_another_address_helps_too(tmp_path: Path) -> None:
    """A server that dials expects a certificate for the host that it dials: that of the parent is good for those who
    carry its children."""
    async with secured(tmp_path, ELSEWHERE) as tree:
        assert tree.west.runtime.relay_address.startswith("127.0.0.2:")
        made = Certificates(tree.root.state.resolve() / "tls", "root")
        await eventually(lambda: "127.0.0.2" in hosts_of(made.server()), what="the root is known by that address")
        await tree.east.link.cut()
        await tree.passes(EAST, "during")
        await tree.by_way_of(WEST)
        await tree.east.link.heal()
        await tree.by_way_of(None)
        await tree.passes(EAST, "after")

"""A link that stays away although the parent answers is healed: real servers, and links that are really stuck."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from leafnodes.auth import Login
from leafnodes.config import LOOPBACK
from leafnodes.server import NatsServer
from services.controller.links import decider
from tests.integration.tiers import LocalTier, Tiers, config
from tests.support import eventually

SITE = "root.site"
LOGIN = Login("child", "one-for-the-tree")
QUICK: dict[str, Any] = {"failover": True, "child_login": f"{LOGIN.user}:{LOGIN.password}"}
#: How long a server of NATS waits before it dials again where it was refused as a twin or a loop (seconds).
SULKS = 30.0


def is_linked(site: LocalTier) -> bool:
    ways = site.controller.ways.supervisor
    assert ways is not None
    return ways.uplink.path == "root" and ways.decider.settled


async def does_its_work(root: LocalTier, name: str) -> None:
    assert (await root.submit(SITE, config(name), wait=30))["summary"] == {"succeeded": 1}


async def test_a_server_that_sulks_is_made_to_dial_again(tmp_path: Path) -> None:
    """The address led to a sibling for a moment, which refuses; then NATS does not try for half a minute."""
    async with (
        Tiers(tmp_path) as tiers,
        NatsServer(state_dir=tmp_path / "s", path="root.other", children=LOGIN) as other,
    ):
        root = await tiers.grow("root", shims=(), **QUICK)
        site = await tiers.grow(SITE, root, **QUICK)
        await does_its_work(root, "before")
        home, wrong = site.link.target, int(other.leaf_address.rpartition(":")[2])
        site.link.target = LOOPBACK, wrong
        await site.link.cut()
        await site.link.heal()
        log = site.state / "nats.log"
        await eventually(lambda: "same cluster name" in log.read_text(), what="the sibling refuses")
        site.link.target = home
        begin = asyncio.get_running_loop().time()
        await eventually(lambda: is_linked(site), what="the link is made anew")
        assert asyncio.get_running_loop().time() - begin < SULKS, "it was not NATS that tried again"
        await does_its_work(root, "after")


class Grudge:
    """A link that holds against a server that it has known it: it takes what that sends, and passes nothing on. A probe
    finds the parent well all the same."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._known: set[bytes] = set()
        self._against: set[bytes] = set()
        self._ends: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.swallowed = 0

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._carry, LOOPBACK, 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for end in list(self._ends):
            end.transport.abort()

    @property
    def knows_somebody(self) -> bool:
        return bool(self._known)

    def hold(self) -> None:
        """Against all that it knows."""
        self._against |= self._known
        for end in list(self._ends):
            end.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._ends |= {writer, far_writer}
        back = asyncio.create_task(self._pass(far_reader, writer))
        with suppress(OSError, asyncio.IncompleteReadError):
            hello = await reader.readuntil(b"\r\n")
            server = hello.partition(b'"server_id":"')[2].partition(b'"')[0]
            assert server, hello
            self._known.add(server)
            if server in self._against:
                self.swallowed += 1
                back.cancel()
                while await reader.read(4096):
                    pass
            else:
                far_writer.write(hello)
                await self._pass(reader, far_writer)
        back.cancel()
        for end in (writer, far_writer):
            end.transport.abort()
        self._ends -= {writer, far_writer}

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await source.read(65536):
                sink.write(chunk)
                await sink.drain()
        sink.transport.abort()


async def test_a_server_that_is_stuck_for_good_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decider, "RELOAD_AFTER", 1.0)
    monkeypatch.setattr(decider, "RESTART_AFTER", 3.0)
    async with Tiers(tmp_path) as tiers:
        root = await tiers.grow("root", shims=(), **QUICK)
        site = await tiers.grow(SITE, root, **QUICK)
        server = site.runtime.server
        assert server is not None
        grudge = Grudge(site.link.target)
        site.link.target = LOOPBACK, await grudge.start()
        await site.link.cut()
        await site.link.heal()
        await eventually(lambda: grudge.knows_somebody and is_linked(site), what="the link is there")
        await does_its_work(root, "before")
        pid = server.pid
        grudge.hold()
        await eventually(lambda: grudge.swallowed > 1, what="the link is stuck")
        await eventually(lambda: server.pid not in (None, pid), what="a new server")
        await eventually(lambda: is_linked(site), what="the link is there")
        await does_its_work(root, "after")
        await grudge.stop()

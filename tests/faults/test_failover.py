"""A parent that dies, hangs, or is cut off while commands flow: its child is served by another, and comes back."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bus.errors import Unavailable
from tests.faults.kit import Tier
from tests.faults.load import bump
from tests.faults.world import World, world
from tests.support import eventually

pytestmark = pytest.mark.timeout(120)

HELPED = ["--failover", "--child-login", "child:of-this-tree", "--fallback-after", "1s"]
TIERS = {
    "root": ["--no-shims", *HELPED],
    "root.a": ["--no-shims", *HELPED],
    "root.b": ["--no-shims", *HELPED],
    "root.a.x": ["--shim", "local", "--shim", "counter", *HELPED],
}
SITE = "root.a.x"
LONG = pytest.mark.long
PAUSE = 0.1


class Parent:
    """The parent of the site, and what may become of it."""

    def __init__(self, tier: Tier, child: Tier) -> None:
        self._tier = tier
        self._child = child

    async def fail(self, how: str) -> None:
        """`kill` and `stop` take the tier and its server; `cut` and `hang` the link to it."""
        assert self._child.link is not None
        if how == "kill":
            self._tier.kill_server()
            await self._tier.kill()
            if self._tier.server() is not None:  # the tier had started it again
                self._tier.kill_server()
        elif how == "stop":
            self._tier.freeze()
            self._tier.signal_server(signal.SIGSTOP)
        else:
            await (self._child.link.cut() if how == "cut" else self._child.link.hang())

    async def recover(self, how: str) -> None:
        """As it was before."""
        assert self._child.link is not None
        if how == "kill":
            await self._tier.start()
        elif how == "stop":
            self._tier.signal_server(signal.SIGCONT)
            self._tier.thaw()
        else:
            await self._child.link.heal()


@asynccontextmanager
async def stream(found: World, origins: list[str]) -> AsyncIterator[None]:
    """A steady stream of commands to the site, each of which must not be done twice."""

    async def send(origin: str) -> None:
        while True:
            found.load.soon(origin, SITE, bump())
            await asyncio.sleep(PAUSE)

    sending = [asyncio.create_task(send(origin), name=f"stream of {origin}") for origin in origins]
    try:
        yield
    finally:
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)


async def attached(found: World, path: str) -> None:
    async def there() -> bool:
        try:
            rows = (await found["root"].call("clusters", {"select": SITE}))["clusters"]
        except Unavailable:
            return False
        return (rows[0]["attached_to"], rows[0]["state"]) == (path, "online")

    await eventually(there, what=f"the site is attached to {path}, as the root sees it")


async def through(found: World) -> None:
    """Returns when what is sent from here on is done, and the root has heard of it."""
    sent = [await found.load.submit("root", SITE, bump()) for _ in range(3)]
    await eventually(lambda: found.done(*sent) and found.received(*sent), what="commands pass")


@pytest.mark.parametrize("how", ["kill", "stop", pytest.param("cut", marks=LONG), pytest.param("hang", marks=LONG)])
async def test_nothing_is_lost_doubled_or_reordered_while_a_site_moves_and_comes_back(tmp_path: Path, how: str) -> None:
    async with world(tmp_path, TIERS) as found:
        parent = Parent(found["root.a"], found[SITE])
        origins = ["root"] if how in ("kill", "stop") else ["root", "root.a"]
        async with stream(found, origins):
            await through(found)
            await parent.fail(how)
            await through(found)
            await attached(found, "root.b")
            await parent.recover(how)
            await attached(found, "root.a")
            await through(found)
        await found.at_rest()
        await found.verified()

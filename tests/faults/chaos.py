"""Chaos: the deeds of a round, done to a world; nothing is promised about what they meet."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from bus.errors import OteError
from bus.event import Event
from store.verify import verify
from tests.faults import clocks, disks
from tests.faults.echo import Echo
from tests.faults.kit import Tier
from tests.faults.load import bump, safe
from tests.faults.schedule import Deed
from tests.faults.traps import Trap
from tests.faults.world import World

#: How long one waits for an answer of a tier that may be in trouble (seconds).
ANSWER = 0.2
DO = {"bump": bump, "set": safe, "apply": lambda: None}


class Chaos:
    """Does what a schedule says."""

    def __init__(self, world: World, echoes: Iterable[Echo] = ()) -> None:
        self._world = world
        self._echoes = list(echoes)
        #: Whose log has had a bit changed.
        self.flipped: set[str] = set()

    async def play(self, deeds: Iterable[Deed]) -> None:
        """All of them; then the world is left as it is."""
        for deed in deeds:
            await asyncio.sleep(deed.pause)
            act: Callable[..., Awaitable[None]] = getattr(self, deed.name.replace("-", "_"))
            await act(*deed.words)

    # -- commands --------------------------------------------------------------------------------------

    async def submit(self, origin: str, to: str, do: str, key: str | None, ttl: float | None) -> None:
        """A command of any kind; some replace each other, some expire."""
        more = {name: value for name, value in (("key", key), ("ttl", ttl)) if value is not None}
        self._world.load.soon(origin, to, DO[do](), maybe=True, **more)

    async def cancel(self, back: int) -> None:
        """One of the latest commands that were acknowledged, where it came from."""
        known = list(self._world.load.origins.items())[-1 - back :]
        if known:
            command, origin = known[0]
            await self._ask(origin, "cancel", {"id": command})

    async def resolve(self, verdict: str) -> None:
        """The oldest that the root holds to be in doubt."""
        status = await self._ask("root", "status", {})
        for one in (status["commands"]["in_doubt"] if status else [])[:1]:
            await self._ask("root", "resolve", {"id": one["command"], "target": one["target"], "as": verdict})

    async def tag(self, origin: str, target: str, how: str) -> None:
        """A tag comes, or goes."""
        self._tell(origin, target, "tag", {"set": {"night": ""}} if how == "on" else {"unset": ["night"]})

    async def drain(self, path: str, how: str) -> None:
        """A region sends its sites away, or takes them back."""
        self._tell("root", path, "drain", {"on": how == "on"})

    async def move(self, path: str, parent: str) -> None:
        """A site is to belong elsewhere."""
        self._tell("root", path, "move", {"parent": parent})

    def _tell(self, origin: str, target: str, verb: str, args: dict[str, Any]) -> None:
        # A tier that has lost its log knows nobody until they are heard again.
        self._world.load.soon(origin, target, {"shim": "tier", "verb": verb, "args": args}, maybe=True)

    async def _ask(self, path: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Its answer; nothing if it has none, or says no."""
        try:
            return await self._world[path].call(name, body, timeout=ANSWER)
        except OteError:
            return {}

    # -- links -----------------------------------------------------------------------------------------

    async def cut(self, child: str) -> None:
        """Its link is cut."""
        await self._world.tree.links[child].cut()

    async def hang(self, child: str) -> None:
        """Its link becomes a black hole."""
        await self._world.tree.links[child].hang()

    async def one_way(self, child: str, lost: str) -> None:
        """Its link becomes a black hole in one direction."""
        await self._world.tree.links[child].hang(up=lost == "up", down=lost == "down")

    async def half_open(self, child: str) -> None:
        """Its connection is reset, and the parent is not told."""
        self._world.tree.links[child].forsake()

    async def delay(self, child: str, seconds: float) -> None:
        """Its link takes its time."""
        self._world.tree.links[child].delay = seconds

    async def loss(self, child: str, share: float) -> None:
        """Its link loses some of what it carries."""
        self._world.tree.links[child].loss = share

    async def narrow(self, child: str, rate: int) -> None:
        """Its link carries few bytes a second."""
        self._world.tree.links[child].rate = rate

    async def heal(self, child: str) -> None:
        """Its link is well."""
        await self._world.tree.heal(child)

    async def address(self, child: str) -> None:
        """Its parent is reached at another address, with which it is started anew."""
        await self._world.tree.readdress(child)
        await self.restart(child)

    # -- processes -------------------------------------------------------------------------------------

    async def kill(self, path: str) -> None:
        """A tier is killed; its server goes on."""
        if self._world[path].runs:
            await self._world[path].kill()

    async def kill_server(self, path: str) -> None:
        """A server is killed, whether its tier lives or not."""
        if self._world[path].server() is not None:
            self._world[path].kill_server()

    async def kill_both(self, path: str) -> None:
        """A machine loses its power."""
        await self.kill_server(path)
        await self.kill(path)

    async def kill_shim(self, path: str) -> None:
        """A shim is killed, over whatever it does."""
        await self._world.tree.stop_counting(path)

    async def kill_level(self, depth: int) -> None:
        """All of one depth lose their power at once."""
        await asyncio.gather(*(self.kill_both(path) for path in self._world.tree.tiers if path.count(".") == depth))

    async def start(self, path: str) -> None:
        """A tier that is dead is started; nobody waits for it."""
        if not self._world[path].runs:
            await self._world[path].begin()

    async def restart(self, path: str) -> None:
        """A tier is ended in order, and started again; nobody waits for that."""
        tier = self._world[path]
        if tier.runs:
            self._wake(tier)
            await tier.end()
            await tier.begin()

    async def freeze(self, path: str) -> None:
        """A tier stands still."""
        if self._world[path].runs:
            self._world[path].freeze()

    async def freeze_server(self, path: str) -> None:
        """A server stands still."""
        self._world[path].freeze_server()

    async def thaw(self, path: str) -> None:
        """Both go on."""
        self._wake(self._world[path])

    @staticmethod
    def _wake(tier: Tier) -> None:
        tier.thaw_server()
        if tier.runs:
            tier.thaw()

    async def trap(self, path: str, step: str, action: str, nth: int) -> None:
        """Something is to happen at a step."""
        self._world[path].lay(Trap(step, action, nth))

    # -- disks and clocks ------------------------------------------------------------------------------

    async def full_disk(self, path: str) -> None:
        """A tier can write no more."""
        if self._world[path].runs:
            disks.fill(self._world[path].pid)

    async def slow_disk(self, path: str, seconds: float) -> None:
        """Each of its commits takes longer."""
        disks.slow_down(self._world[path].state, seconds)

    async def torn_page(self, path: str, seed: int) -> None:
        """The power went while a page was written."""
        await self.kill(path)
        disks.tear(self._world[path].log, random.Random(seed))

    async def clock(self, path: str, seconds: float) -> None:
        """A clock is set, so much off the true time."""
        clocks.step(self._world[path].state, seconds)

    # -- logs that are not what they were --------------------------------------------------------------

    async def lost_log(self, path: str) -> None:
        """A disk is replaced by an empty one; server and ports are kept."""
        await self._losing(path, disks.lose)

    async def old_log(self, path: str) -> None:
        """The log is put back as it was before this round."""
        copy = self._world[path].state / "copy.db"
        if copy.exists():
            await self._losing(path, lambda log: disks.restore(copy, log))

    async def short_log(self, path: str, frames: int) -> None:
        """The last of what was written is gone, though the disk had said that it had it."""
        await self._losing(path, lambda log: disks.cut_short(log, frames))

    async def flipped_bit(self, path: str, seed: int) -> None:
        """One bit of the log has changed; a person looks at it when the round is over."""
        self.flipped.add(path)
        await self._losing(path, lambda log: disks.flip(log, random.Random(seed)))

    async def _losing(self, path: str, how: Callable[[Path], None]) -> None:
        await self.kill_both(path)
        if self._world[path].log.exists():
            how(self._world[path].log)
        self._world.lost(path)

    async def mended(self) -> None:
        """What is found damaged is put aside, as a person would."""
        while self.flipped:
            tier = self._world[self.flipped.pop()]
            if tier.runs:
                self._wake(tier)
            await self.kill_both(tier.path)
            if await asyncio.to_thread(verify, tier.log, Event.decode):
                await self._losing(tier.path, disks.lose)

    # -- the bus ---------------------------------------------------------------------------------------

    async def echo(self, on: bool) -> None:
        """What passes a server comes again, in another order."""
        for echo in self._echoes:
            echo.on = on

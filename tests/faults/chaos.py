"""Chaos: a seed decides what is submitted and what fails; nothing is promised about when."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

from bus.errors import OteError
from tests.faults.load import bump, safe
from tests.faults.traps import KILL, KILL_ALL, STOP, Trap
from tests.faults.world import World

#: Where commands come from, and to whom they may go.
ORIGINS = {
    "root": ["tag:site", "root.a.>", "root.a.x", "root.a.y"],
    "root.a": ["tag:site", "root.a.x", "root.a.y"],
    "root.a.x": ["root.a.x"],
    "root.a.y": ["root.a.y"],
}
STEPS = [
    "before commit submitted",
    "after commit submitted",
    "before commit received",
    "after commit received",
    "before commit succeeded",
    "after commit succeeded",
    "after publish succeeded",
    "before execute local",
    "after execute counter",
    "before mail",
    "after answer ship",
    "before take",
    "after ask mail",
]
KEYS = ["one", "two"]
SHORT_TTL = 0.3
LONGEST_PAUSE = 0.08

Act = Callable[[], Awaitable[object]]


class Chaos:
    """One run in a world; `done` counts what was done to it."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._rng = random.Random(seed)
        self.done: Counter[str] = Counter()

    async def run(self, acts: int) -> None:
        """So many things happen; then the world is left as it is."""
        deeds: dict[Act, int] = {
            self.submit: 50,
            self.cancel: 4,
            self.resolve: 4,
            self.cut: 6,
            self.hang: 3,
            self.heal: 10,
            self.kill: 4,
            self.start: 8,
            self.kill_server: 3,
            self.freeze: 3,
            self.thaw: 6,
            self.trap: 6,
        }
        for deed in self._rng.choices(list(deeds), list(deeds.values()), k=acts):
            self.done[deed.__name__] += 1
            await deed()
            await asyncio.sleep(self._rng.uniform(0, LONGEST_PAUSE))

    # -- commands --------------------------------------------------------------------------------------

    async def submit(self) -> None:
        """A command of any kind, from anywhere, to whoever is below; some replace each other, some expire."""
        origin = self._rng.choice(list(ORIGINS))
        to = self._rng.choice(ORIGINS[origin])
        more: dict[str, object] = {}
        if self._rng.random() < 0.3:
            more["key"] = self._rng.choice(KEYS)
        if self._rng.random() < 0.1:
            more["ttl"] = SHORT_TTL
        do = self._rng.choice([bump(), safe(), None]) if to == "root.a.x" else None
        self._world.load.soon(origin, to, do, **more)

    async def cancel(self) -> None:
        """One of the commands that were acknowledged, where it came from."""
        known = self._world.load.origins
        if not known:
            return
        command = self._rng.choice(list(known))
        try:
            await self._world[known[command]].call("cancel", {"id": command}, timeout=0.2)
        except OteError:
            self.done["cancel in vain"] += 1

    async def resolve(self) -> None:
        """What the root holds to be in doubt, with any verdict."""
        root = self._world["root"]
        try:
            in_doubt = (await root.call("status", {}, timeout=0.2))["commands"]["in_doubt"]
            for one in in_doubt[:1]:
                verdict = self._rng.choice(["done", "failed", "retry"])
                await root.call("resolve", {"id": one["command"], "target": one["target"], "as": verdict}, timeout=0.2)
                self.done["resolved"] += 1
        except OteError:
            self.done["resolve in vain"] += 1

    # -- links -----------------------------------------------------------------------------------------

    async def cut(self) -> None:
        """A link is cut."""
        await self._rng.choice(list(self._world.tree.links.values())).cut()

    async def hang(self) -> None:
        """A link becomes a black hole."""
        await self._rng.choice(list(self._world.tree.links.values())).hang()

    async def heal(self) -> None:
        """A link is healed."""
        await self._rng.choice(list(self._world.tree.links.values())).heal()

    # -- processes -------------------------------------------------------------------------------------

    def _any(self, *, running: bool) -> str | None:
        found = [path for path, tier in self._world.tree.tiers.items() if tier.runs == running]
        return self._rng.choice(found) if found else None

    async def kill(self) -> None:
        """A tier is killed, sometimes with its server."""
        also_server = self._rng.random() < 0.4
        if (path := self._any(running=True)) is not None:
            tier = self._world[path]
            if also_server and tier.server() is not None:
                tier.kill_server()
            await tier.kill()

    async def start(self) -> None:
        """A tier that is dead is started; nobody waits for it."""
        if (path := self._any(running=False)) is not None:
            await self._world[path].begin()

    async def kill_server(self) -> None:
        """A server is killed, whether its tier lives or not."""
        path = self._rng.choice(list(self._world.tree.tiers))
        if self._world[path].server() is not None:
            self._world[path].kill_server()

    async def freeze(self) -> None:
        """A tier stands still."""
        if (path := self._any(running=True)) is not None:
            self._world[path].freeze()

    async def thaw(self) -> None:
        """A tier goes on."""
        if (path := self._any(running=True)) is not None:
            self._world[path].thaw()

    async def trap(self) -> None:
        """Something is to happen at a step."""
        path = self._rng.choice(list(self._world.tree.tiers))
        step, action = self._rng.choice(STEPS), self._rng.choice([KILL, KILL_ALL, STOP])
        self._world[path].lay(Trap(step, action, self._rng.randint(1, 3)))

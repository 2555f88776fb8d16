"""A mischief on the bus: every frame that passes a server comes there again, in another order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from bus import wire
from bus.client import Bus, Message
from bus.errors import OteError
from tests.faults.kit import Tree

HEADERS = {**wire.EVENTS_HEADERS, "Test-Echo": "1"}
HEARD = ("ote.cmd.>", "ote.under.>", "ote.tag.>", "ote.evt.>")
KEPT, PAUSE = 12, 0.05


class Echo:
    """Repeats what one server hears, event by event, once or twice."""

    def __init__(self, bus: Bus, rng: random.Random) -> None:
        self.repeated = 0
        self.on = True
        self._bus = bus
        self._rng = rng
        self._kept: list[tuple[str, bytes]] = []

    def hear(self, message: Message) -> None:
        """Keeps what passes, and lets some of what it kept go."""
        if "Test-Echo" in message.headers or not self.on:
            return
        self._kept += [(message.subject, body) for body in wire.unpack(message.data)]
        while len(self._kept) > KEPT:
            self._repeat()

    def _repeat(self) -> None:
        subject, body = self._kept.pop(self._rng.randrange(len(self._kept)))
        for _ in range(self._rng.randint(1, 2)):
            try:
                self._bus.send(subject, wire.pack([body]), HEADERS)
            except OteError:
                return
            self.repeated += 1

    async def run(self) -> None:
        """Nothing is kept for ever."""
        while True:
            await asyncio.sleep(PAUSE)
            if self._kept:
                self._repeat()


@asynccontextmanager
async def echoing(tree: Tree, rng: random.Random, *, on: bool = True) -> AsyncIterator[list[Echo]]:
    """Echoes at all servers of a tree, that are heard while they are `on`."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        echoes = []
        for tier in tree.tiers.values():
            bus = await stack.enter_async_context(await Bus.connect(tier.info()["nats"], name="echo"))
            echo = Echo(bus, rng)
            echo.on = on
            for subject in HEARD:
                await bus.subscribe(subject, echo.hear)
            await bus.flush()
            echoes.append(echo)
        tasks = [group.create_task(echo.run(), name="echo") for echo in echoes]
        yield echoes
        for task in tasks:
            task.cancel()

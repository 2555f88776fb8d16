"""Neighbours that misbehave: what a command to a sibling takes meanwhile, against the same tree without it.

A root with two sites, each tier a process, and the link of one of them through a proxy. A case asks the good one at
a steady pace; the other one stalls, has next to no link, hangs in a shim, or brings a backlog; or somebody
sends a storm of commands to it. `python -m bench.neighbours URL` is the storm.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from bench.command import request
from bench.failover import One
from bench.harness import Result, less, percentile
from bench.log import draft
from bus import subjects
from bus.client import Bus, Message
from bus.errors import OteError, Unavailable
from bus.event import Event
from leafnodes.proxy import LinkProxy
from store.api import Tx
from store.sql import open_log

ROOT, GOOD, BAD = "root", "root.good", "root.bad"
#: Commands in a round, the seconds between them, rounds of each case, and how much more than without the neighbour
#: they may take.
FEW, EVERY, ROUNDS, GOAL = 150, 0.02, 3, 2.0
#: 64 kbit/s, half a second there and back, every fiftieth piece lost.
RATE, DELAY, LOSS = 8_000.0, 0.25, 0.02
#: For whom it waits: commands to it, events that it brings, submits of a storm.
WAITING, BACKLOG, STORM = 1_000, 120_000, 10_000
PATIENCE = 180.0


@dataclass
class Street:
    """The tree, a client of its root, one of the bad neighbour's, and the link of that."""

    tiers: dict[str, One]
    root: Bus
    link: LinkProxy
    number: int = 0

    async def command(self) -> float:
        """Seconds for one command to the good neighbour."""
        self.number += 1
        begin = time.perf_counter()
        answer = await self.ask("submit", **_order(GOOD, self.number), wait=PATIENCE)
        if answer["summary"] != {"succeeded": 1}:
            raise RuntimeError(f"a command did not succeed: {answer}")
        return time.perf_counter() - begin

    async def commands(self) -> list[float]:
        """A few in every second, whether those before are done or not: one that waits for long hides no other."""
        begin, tasks = time.perf_counter(), []
        for number in range(FEW):
            await asyncio.sleep(max(0.0, begin + number * EVERY - time.perf_counter()))
            tasks.append(asyncio.create_task(self.command()))
        return await asyncio.gather(*tasks)

    async def ask(self, name: str, **body: Any) -> dict[str, Any]:
        """The local API of the root."""
        return await self.root.call(subjects.local(name), body, timeout=PATIENCE)

    async def burden(self, count: int, do: dict[str, Any] | None = None) -> None:
        """Commands for the bad neighbour, that wait."""
        for number in range(count):
            await self.ask("submit", **{**_order(BAD, number), **({"do": do, "lane": str(number)} if do else {})})

    async def quiet(self) -> None:
        """Returns when nothing is open and the bad neighbour is there."""
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(OteError):
                    status = await self.ask("status")
                    rows = await self.ask("clusters", select=BAD)
                    if not status["commands"]["open"] and rows["clusters"][0]["state"] == "online":
                        return
                await asyncio.sleep(0.1)


def _order(to: str, number: int) -> dict[str, Any]:
    return request(to, number).model_dump(include={"to", "do"}, exclude_none=True, mode="json")


@asynccontextmanager
async def street() -> AsyncIterator[Street]:
    """The tree, at rest."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="ote-bench-")))
        root = One(ROOT, folder / ROOT, ["--no-shims", "--no-failover", "--child-login", "child:of-the-bench"])
        stack.push_async_callback(root.stop)
        await root.start()
        leaf = urlsplit(root.info["leaf"])
        assert leaf.hostname is not None and leaf.port is not None
        link = LinkProxy(leaf.hostname, leaf.port)
        await link.start()
        stack.push_async_callback(link.stop)
        tiers = {ROOT: root}
        for path, port in ((GOOD, leaf.port), (BAD, link.port)):
            parent = f"{leaf.scheme}://child:of-the-bench@{leaf.hostname}:{port}"
            words = ["--parent", parent, "--no-failover", "--shim", "local", "--shim", "mute"]
            tiers[path] = one = One(path, folder / path, words)
            stack.push_async_callback(one.stop)
            await one.start()
        bus = await stack.enter_async_context(await Bus.connect(root.info["nats"], name="bench"))
        found = Street(tiers, bus, link)
        await found.quiet()
        await found.commands()
        yield found


@asynccontextmanager
async def stalled(street: Street) -> AsyncIterator[None]:
    """Its server stands still: connections stay, and nothing is read from them."""
    pid = street.tiers[BAD].info["server_pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        await street.burden(WAITING)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def slow(street: Street) -> AsyncIterator[None]:
    """Its link carries next to nothing, late, and loses some of it."""
    street.link.rate, street.link.delay, street.link.loss = RATE, DELAY, LOSS
    await street.burden(WAITING // 5)
    yield
    street.link.rate, street.link.delay, street.link.loss = None, 0.0, 0.0


@asynccontextmanager
async def hung(street: Street) -> AsyncIterator[None]:
    """A shim of it takes what comes, and never answers."""
    asked: list[Message] = []
    async with await Bus.connect(street.tiers[BAD].info["nats"], name="mute") as bus:
        await bus.subscribe(subjects.shim("mute", "execute"), asked.append)
        await bus.flush()
        await street.burden(WAITING, {"shim": "mute", "verb": "wait"})
        yield
        for message in asked:
            message.respond(b'{"ok": true}')
        await bus.subscribe(subjects.shim("mute", "execute"), lambda message: message.respond(b'{"ok": true}'))
        await street.quiet()


@asynccontextmanager
async def draining(street: Street) -> AsyncIterator[None]:
    """It was away for long, and has much to tell."""
    one = street.tiers[BAD]
    await one.stop()
    async with open_log(one.state / "log.db", source=BAD, decode=Event.decode) as log:
        for _ in range(0, BACKLOG, 1000):
            await log.write(_thousand)
    await one.start()
    yield


def _thousand(tx: Tx[Event]) -> None:
    for number in range(1000):
        tx.append(draft(number))


@asynccontextmanager
async def storm(street: Street) -> AsyncIterator[None]:
    """Somebody sends as many commands to it as can be, all at once."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.neighbours", street.tiers[ROOT].info["nats"], stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    yield
    await process.wait()


CASES: dict[str, Callable[[Street], Any]] = {
    "stalls, with 1,000 commands": stalled,
    "has 64 kbit/s, 500 ms, 2 % loss": slow,
    "has a shim that hangs over 1,000 commands": hung,
    f"drains a backlog of {BACKLOG:,} events": draining,
    f"is sent a storm of {STORM:,} commands": storm,
}


async def neighbours() -> list[Result]:
    """p50 and p99 of the good neighbour's commands, with each trouble of the other and without."""
    out = []
    async with street() as found:
        for name, trouble in CASES.items():
            once = trouble in (draining, storm)
            mine, limit = [], []
            for _ in range(1 if once else ROUNDS):
                limit.append(await found.commands())
                async with trouble(found):
                    mine.append(await found.commands())
                await found.quiet()
            for part, word in ((0.5, "p50"), (0.99, "p99")):
                out.append(less(f"a sibling {name}, {word}", _ms(mine, part), _ms(limit, part), "ms", GOAL))
    return out


def _ms(values: list[list[float]], part: float) -> list[float]:
    return [percentile(each, part) * 1000 for each in values]


async def _storm(url: str) -> None:
    refused = 0

    async def one(bus: Bus, number: int) -> None:
        nonlocal refused
        try:
            await bus.call(subjects.local("submit"), _order(BAD, number), timeout=PATIENCE)
        except Unavailable:
            refused += 1

    orders = [partial(one, number=number) for number in range(STORM)]
    async with await Bus.connect(url, name="storm") as bus:
        print("ready", flush=True)
        await asyncio.gather(*(order(bus) for order in orders))
    print(f"{refused} of {STORM} were refused", file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(_storm(sys.argv[1]))

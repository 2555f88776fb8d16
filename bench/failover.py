"""A parent that is lost: how soon commands pass by way of the alternate, and what going back costs.

A root, two regions and a site, each a process, and the site's link to its region through a proxy that can become a
black hole. Goals are absolute: the column `raw` holds them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from bench.harness import Result
from bus import subjects
from bus.client import Bus
from bus.errors import OteError
from leafnodes.config import at_address
from leafnodes.proxy import LinkProxy

SITE, HOME, OTHER = "root.a.site", "root.a", "root.b"
#: What a local network allows: noticed within a second.
LAN = ["--heartbeat", "0.5s", "--sync-interval", "0.5s", "--child-login", "child:of-the-bench", "--fallback-after"]
PATIENCE = 60.0
KILLS, HANGS, FALLBACKS = 20, 10, 5
#: Of the steady stream: between two commands, and for how long it goes on before and after (seconds).
EVERY, AROUND = 0.005, 1.0


@dataclass
class One:
    """One tier's process."""

    path: str
    state: Path
    words: list[str]
    process: asyncio.subprocess.Process | None = None
    info: dict[str, Any] = field(default_factory=dict)

    async def start(self) -> None:
        """Returns when it is up."""
        self.state.mkdir(parents=True, exist_ok=True)
        file = self.state / "tier.json"
        file.unlink(missing_ok=True)
        command = ["-m", "services.cli", "tier", "--path", self.path, "--state", str(self.state), *self.words]
        with (self.state / "tier.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=log, stderr=log)
        async with asyncio.timeout(PATIENCE):
            while not file.exists():
                await asyncio.sleep(0.02)
        self.info = json.loads(file.read_text())

    def signal(self, number: signal.Signals) -> None:
        """To the tier, then to its server: nobody starts that again."""
        assert self.process is not None
        for pid in (self.process.pid, self.info["server_pid"]):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def stop(self) -> None:
        """Nothing is left of it."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()


@dataclass
class Stand:
    """The tree, a client of its root, and the site's link."""

    tiers: dict[str, One]
    root: Bus
    link: LinkProxy
    sent: list[str] = field(default_factory=list)
    finished: list[float] = field(default_factory=list)

    async def command(self) -> float:
        """Seconds until a command is done at the site."""
        number = len(self.sent)
        self.sent.append("")
        begin = time.perf_counter()
        answer = await self.root.call(subjects.local("submit"), _request(number), timeout=PATIENCE)
        if answer["summary"] != {"succeeded": 1}:
            raise RuntimeError(f"a command did not succeed: {answer}")
        self.sent[number] = answer["id"]
        self.finished.append(time.perf_counter())
        return self.finished[-1] - begin

    async def attached(self, path: str) -> None:
        """Returns when the root sees the site there."""
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(OteError):
                    rows = await self.root.call(subjects.local("clusters"), {"select": SITE}, timeout=5)
                    if rows["clusters"][0]["attached_to"] == path:
                        return
                await asyncio.sleep(0.02)

    async def unkept(self) -> Counter[str]:
        """Commands that were lost, doubled or reordered, by the root's log. What a site says of mail comes a moment
        after what became of it."""
        end = time.monotonic() + 10.0
        while (found := await self._unkept())["lost"] and time.monotonic() < end:
            await asyncio.sleep(0.1)
        return found

    async def _unkept(self) -> Counter[str]:
        said: dict[str, list[int]] = {}
        after = 0
        while True:
            asked = {"type": "ote.command.received.v1", "source": SITE, "after": after, "limit": 1000}
            page = await self.root.call(subjects.local("log"), asked, timeout=PATIENCE)
            for event in page["events"]:
                said.setdefault(event["data"]["command"], []).append(int(event["seq"]))
            if not page["events"]:
                # Only that says that there are no more: a page holds so many bytes too.
                break
            after = page["next"]
        turns = [said[id][0] for id in self.sent if id in said]
        return Counter(
            lost=sum(id not in said for id in self.sent),
            doubled=sum(len(places) > 1 for places in said.values()),
            reordered=sum(later < earlier for earlier, later in pairwise(turns)),
        )


def _request(number: int) -> dict[str, Any]:
    metadata = {"name": f"bench-{number % 200}", "namespace": "default"}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"number": str(number)}}
    return {"to": SITE, "do": {"verb": "apply", "args": {"manifest": manifest}}, "wait": PATIENCE}


@asynccontextmanager
async def stand(fallback_after: str) -> AsyncIterator[Stand]:
    """The tree, up, and the site at home."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="ote-bench-")))
        tiers: dict[str, One] = {}

        async def grow(path: str, parent: str | None, *words: str) -> One:
            above = ["--parent", parent] if parent else []
            one = tiers[path] = One(path, folder / path, [*LAN, fallback_after, *above, *words])
            stack.push_async_callback(one.stop)
            await one.start()
            return one

        root = await grow("root", None, "--no-shims")
        home = await grow(HOME, root.info["leaf"], "--no-shims")
        await grow(OTHER, root.info["leaf"], "--no-shims")
        port = urlsplit(home.info["leaf"]).port
        assert port is not None
        link = await stack.enter_async_context(LinkProxy("127.0.0.1", port))
        await grow(SITE, at_address(home.info["leaf"], f"127.0.0.1:{link.port}"))
        bus = await stack.enter_async_context(await Bus.connect(root.info["nats"], name="bench"))
        made = Stand(tiers, bus, link)
        await made.attached(HOME)
        site = await stack.enter_async_context(await Bus.connect(tiers[SITE].info["nats"], name="bench of the site"))
        async with asyncio.timeout(PATIENCE):
            while len((await site.call(subjects.local("links"), {}, timeout=5))["places"]) < 3:
                await asyncio.sleep(0.05)
        await made.command()
        yield made


def within(case: str, values: Sequence[float], goal: float, unit: str) -> Result:
    """A case with a goal of its own: the median."""
    mine = statistics.median(values)
    ratio = mine / goal if goal else mine
    return Result(case, round(mine, 1), goal, unit, round(ratio, 2), "<= 1.0" if goal else "<= 0", mine <= goal)


async def _lost(
    tree: Stand, count: int, fail: Callable[[], Awaitable[None]], heal: Callable[[], Awaitable[None]]
) -> list[float]:
    """Milliseconds from the failure until the first command is done by way of the alternate."""
    took = []
    for _ in range(count):
        await tree.attached(HOME)
        await tree.command()
        begin = time.perf_counter()
        await fail()
        await tree.command()
        took.append((time.perf_counter() - begin) * 1000)
        await tree.attached(OTHER)
        await heal()
    return took


async def failover() -> list[Result]:
    """The parent killed; the parent hung; its link a black hole."""
    async with stand("0.1s") as tree:
        home = tree.tiers[HOME]

        async def kill() -> None:
            home.signal(signal.SIGKILL)

        async def stop() -> None:
            home.signal(signal.SIGSTOP)

        async def go_on() -> None:
            home.signal(signal.SIGCONT)

        killed = await _lost(tree, KILLS, kill, home.start)
        hung = await _lost(tree, HANGS, stop, go_on)
        holes = await _lost(tree, HANGS, tree.link.hang, tree.link.heal)
        unkept = await tree.unkept()
    return [
        within(f"parent killed, first command through the alternate, median of {KILLS}", killed, 500.0, "ms"),
        within(f"parent stopped (hung), the same, median of {HANGS}", hung, 2000.0, "ms"),
        within(f"link a black hole, the same, median of {HANGS}", holes, 2000.0, "ms"),
        within("lost, doubled or reordered in these", [float(unkept.total())], 0.0, "commands"),
    ]


async def fall_back() -> list[Result]:
    """The longest pause of a steady stream of commands while the site goes back to its parent."""
    outages = []
    async with stand("1s") as tree:
        for _ in range(FALLBACKS):
            await tree.attached(HOME)
            await tree.link.cut()
            await tree.attached(OTHER)
            outages.append(await _outage(tree))
        unkept = await tree.unkept()
    return [
        within(f"fall-back, longest pause it adds to a steady stream, median of {FALLBACKS}", outages, 50.0, "ms"),
        within("lost, doubled or reordered in these", [float(unkept.total())], 0.0, "commands"),
    ]


async def _outage(tree: Stand) -> float:
    """By how many milliseconds the longest pause is longer than the longest of the same stream before."""
    stopping = asyncio.Event()

    async def flow() -> None:
        async with asyncio.TaskGroup() as group:
            while not stopping.is_set():
                group.create_task(tree.command())
                await asyncio.sleep(EVERY)

    tree.finished.clear()
    flowing = asyncio.create_task(flow(), name="a steady stream")
    await asyncio.sleep(AROUND)
    before = max(later - earlier for earlier, later in pairwise(tree.finished))
    tree.finished.clear()
    await tree.link.heal()
    await tree.attached(HOME)
    await asyncio.sleep(AROUND)
    stopping.set()
    await flowing
    return max(0.0, max(later - earlier for earlier, later in pairwise(tree.finished)) - before) * 1000

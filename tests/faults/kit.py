"""A small tree of real tiers, each a process of its own, over links that can be cut: for faults.

The links go through proxies in the test's process. Every tier runs with traps in its steps
(`tests.faults.traps`), which do nothing until one is laid.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import select
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bus import subjects
from bus.client import Bus
from bus.errors import Unavailable
from leafnodes.process import Process
from leafnodes.proxy import LinkProxy
from tests.faults import disks
from tests.faults.traps import Trap, disarm
from tests.support import eventually

REPOSITORY = Path(__file__).parents[2]
#: Tiers and what each is started with beside its path and its parent. Nobody runs the shim `nobody`.
SMALL: Mapping[str, list[str]] = {
    "root": ["--no-shims"],
    "root.a": ["--no-shims"],
    "root.a.x": ["--tag", "site", "--shim", "local", "--shim", "counter", "--shim", "nobody"],
    "root.a.y": ["--tag", "site"],
}
PACE = ["--heartbeat", "0.2", "--sync-interval", "0.3"]
#: A whole tree may start at once, beside others.
START, ANSWER = 120.0, 3.0
#: What is asked once, of a tier that is well, may take as long as a busy machine needs.
ONCE = 30.0


class Tier:
    """One tier's process and what it leaves in its directory; `link` is its way to its parent."""

    def __init__(self, path: str, directory: Path, words: Iterable[str]) -> None:
        self.path = path
        self.state = directory / path
        self.link: LinkProxy | None = None
        self.parent_url: str | None = None
        self.bus: Bus | None = None
        self.leaf = ""
        self._words = list(words)
        self._process: asyncio.subprocess.Process | None = None
        self._handle: int | None = None

    @property
    def log(self) -> Path:
        """Its log."""
        return self.state / "log.db"

    @property
    def pid(self) -> int:
        """The living process."""
        assert self._process is not None and self.runs, f"{self.path} does not run"
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether its process lives; asyncio learns of its end a moment later."""
        if self._handle is None:
            return False
        return not select.select([self._handle], [], [], 0)[0]

    @property
    def has_counter(self) -> bool:
        """Whether the counting shim belongs to it."""
        return "counter" in self._words

    def info(self) -> dict[str, Any]:
        """What its last start has said of itself."""
        return dict(json.loads((self.state / "tier.json").read_text()))

    async def start(self) -> None:
        """Returns when it is up; a start after the first is on the same ports."""
        await self.begin()
        await self.up()

    async def up(self) -> None:
        """Returns when it is up; starts it if it does not run."""
        if not self.runs:
            await self.begin()
        await eventually(self._is_up, START, what=f"{self.path} is up: see {self.state / 'tier.log'}")
        if self.bus is None:
            self.bus = await Bus.connect(self.info()["nats"], name=f"test {self.path}")
            self.leaf = self.info()["leaf"]

    async def begin(self) -> None:
        """Starts it, and does not wait."""
        self.state.mkdir(parents=True, exist_ok=True)
        words = ["--path", self.path, "--state", str(self.state), *PACE, *self._words]
        # Most faults are about what a tier does that is alone.
        words += [] if "--failover" in self._words else ["--no-failover"]
        if self.parent_url is not None:
            words += ["--parent", self.parent_url]
        with (self.state / "tier.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.faults.runner", "tier", *words, stdout=log, stderr=log, cwd=REPOSITORY
            )
        self._let_go()
        self._handle = os.pidfd_open(self._process.pid)

    def _let_go(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _is_up(self) -> bool:
        if not self.runs:
            raise RuntimeError(f"{self.path} ended: {(self.state / 'tier.log').read_text()[-3000:]}")
        return (self.state / "tier.json").exists() and self.info()["pid"] == self.pid

    async def kill(self) -> None:
        """SIGKILL to the tier; its server goes on."""
        self._signal(signal.SIGKILL)
        await self.ended()

    async def ended(self, deadline: float = 60.0) -> int:
        """Waits for its end, and returns its code."""
        assert self._process is not None
        async with asyncio.timeout(deadline):
            return await self._process.wait()

    async def end(self, deadline: float = 60.0) -> None:
        """SIGTERM: it ends in order, and its server with it."""
        self._signal(signal.SIGTERM)
        code = await self.ended(deadline)
        # One that is on its way up has nothing yet to end in order.
        assert code in (0, -signal.SIGKILL, -signal.SIGTERM), (
            f"{self.path} ended with {code}: see {self.state / 'tier.log'}"
        )

    @property
    def gave_up(self) -> bool:
        """Whether its last process ended otherwise than by SIGKILL: no fault of the world may do that."""
        return self._process is not None and self._process.returncode not in (None, 0, -signal.SIGKILL, -signal.SIGTERM)

    def server(self) -> Process | None:
        """Its nats-server, if one lives."""
        return Process.find(self.state / "nats.pid", self.state / "nats.conf")

    def kill_server(self) -> None:
        """SIGKILL to its nats-server."""
        self.signal_server(signal.SIGKILL)

    def signal_server(self, number: signal.Signals) -> None:
        """Sends its nats-server a signal."""
        server = self.server()
        assert server is not None, f"{self.path} has no server"
        server.signal(number)

    def freeze_server(self) -> None:
        """SIGSTOP to its nats-server, if one lives."""
        self._tell_server(signal.SIGSTOP)

    def thaw_server(self) -> None:
        """SIGCONT to its nats-server, if one lives."""
        self._tell_server(signal.SIGCONT)

    def _tell_server(self, number: signal.Signals) -> None:
        if (server := self.server()) is not None:
            with suppress(ProcessLookupError):
                server.signal(number)

    def freeze(self) -> None:
        """SIGSTOP to the tier."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT to the tier."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        """Nothing happens if its process has ended: the handle, unlike the pid, is never another's."""
        assert self._handle is not None
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    @property
    def memory(self) -> int:
        """What its process holds of the machine's memory (bytes)."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    @property
    def frozen(self) -> bool:
        """Whether its process is stopped by a signal."""
        assert self._process is not None
        with suppress(FileNotFoundError, ProcessLookupError):
            return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        return False

    def lay(self, trap: Trap) -> Trap:
        """Arms a trap."""
        trap.lay(self.state)
        return trap

    async def call(self, name: str, body: Mapping[str, Any], timeout: float = ANSWER) -> dict[str, Any]:
        """Asks its local API."""
        assert self.bus is not None
        return await self.bus.call(subjects.local(name), body, timeout=timeout)

    async def stop(self) -> None:
        """Ends all that is left of it."""
        if self.bus is not None:
            await self.bus.close()
        self.thaw_server()
        if self.runs:
            self.thaw()
            self._signal(signal.SIGTERM)
            try:
                await self.ended()
            except TimeoutError:
                await self.kill()
        self._let_go()
        if (server := self.server()) is not None:
            await server.end(0)


class Tree:
    """Tiers by path, in order of depth."""

    def __init__(self, directory: Path, tiers: Mapping[str, list[str]] = SMALL) -> None:
        self.directory = directory
        self.tiers = {path: Tier(path, directory, words) for path, words in tiers.items()}
        self.counters: dict[str, Path] = {}
        self._counting: dict[str, asyncio.subprocess.Process] = {}

    def __getitem__(self, path: str) -> Tier:
        return self.tiers[path]

    @property
    def links(self) -> dict[str, LinkProxy]:
        """The link of each child to its parent."""
        return {path: tier.link for path, tier in self.tiers.items() if tier.link is not None}

    @property
    def logs(self) -> dict[str, Path]:
        """The log of each tier."""
        return {path: tier.log for path, tier in self.tiers.items()}

    async def start(self) -> None:
        """Returns when every tier knows all clusters below it."""
        depths = sorted({path.count(".") for path in self.tiers})
        for depth in depths:
            level = [tier for path, tier in self.tiers.items() if path.count(".") == depth]
            await asyncio.gather(*(self._join(tier) for tier in level))
        await asyncio.gather(*(self.count(path) for path, tier in self.tiers.items() if tier.has_counter))
        await self.joined()

    async def _join(self, tier: Tier) -> None:
        above = tier.path.rpartition(".")[0]
        if above:
            await self.readdress(tier.path)
        await tier.start()

    async def readdress(self, path: str) -> None:
        """The link of a tier is at an address of its own, another than before: its next start is told."""
        tier = self.tiers[path]
        url = urlsplit(self.tiers[path.rpartition(".")[0]].leaf)
        assert url.hostname is not None and url.port is not None
        before, tier.link = tier.link, LinkProxy(url.hostname, url.port)
        await tier.link.start()
        if before is not None:
            await before.stop()
        login = url.netloc.rpartition("@")[0]
        tier.parent_url = f"{url.scheme}://{login}@{tier.link.host}:{tier.link.port}"

    async def heal(self, path: str) -> None:
        """The link of a tier is as good as new."""
        link = self.links[path]
        link.delay, link.rate, link.loss = 0.0, None, 0.0
        await link.heal()

    async def count(self, path: str) -> None:
        """Starts the counting shim of a tier, again if it has ended."""
        self.counters[path] = file = self.directory / f"{path}.counter"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.counter", self[path].info()["nats"], str(file),
            stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY,
        )  # fmt: skip
        self._counting[path] = process
        assert process.stdout is not None
        async with asyncio.timeout(START):
            assert await process.stdout.readline() == b"ready\n"

    async def stop_counting(self, path: str) -> None:
        """SIGKILL to the counting shim of a tier."""
        process = self._counting[path]
        if process.returncode is None:
            process.kill()
        await process.wait()

    def tell_counting(self, path: str, number: signal.Signals) -> None:
        """Sends the counting shim of a tier a signal."""
        self._counting[path].send_signal(number)

    async def joined(self) -> None:
        """Returns when every tier holds every cluster below it to be online."""
        await eventually(self._all_online, START, what="every tier knows all that is below it")

    async def _all_online(self) -> bool:
        for path, tier in self.tiers.items():
            below = {other for other in self.tiers if other == path or other.startswith(path + ".")}
            try:
                answer = await tier.call("clusters", {})
            except Unavailable:
                return False
            if {one["path"] for one in answer["clusters"] if one["state"] == "online"} != below:
                return False
        return True

    async def restore(self) -> None:
        """Takes every fault away: what is stopped goes on, what is dead is started, what is cut is healed."""
        for path, shim in self._counting.items():
            if shim.returncode is None:
                self.tell_counting(path, signal.SIGCONT)
        for tier in self.tiers.values():
            disarm(tier.state)
            disks.slow_down(tier.state, 0.0)
            tier.thaw_server()
            if tier.runs:
                tier.thaw()
                disks.make_room(tier.pid)
        await asyncio.gather(*map(self.heal, self.links))
        # Also those that are on their way up: what is asked of them next must find them there.
        await asyncio.gather(*(tier.up() for tier in self.tiers.values()))
        await asyncio.gather(
            *(self.count(path) for path, shim in self._counting.items() if shim.returncode is not None)
        )

    async def stop(self) -> None:
        """Ends everything."""
        for path in self._counting:
            await self.stop_counting(path)
        await asyncio.gather(*(tier.stop() for tier in self.tiers.values()))
        await asyncio.gather(*(link.stop() for link in self.links.values()))


@asynccontextmanager
async def tree(directory: Path, tiers: Mapping[str, list[str]] = SMALL) -> AsyncIterator[Tree]:
    """A tree that is up; nothing of it is left."""
    grown = Tree(directory, tiers)
    try:
        await grown.start()
        yield grown
    finally:
        await grown.stop()

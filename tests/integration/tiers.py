"""Trees of real tiers for tests: each with its server and its log, each link through a proxy that can be
cut, hung and healed. A tier runs in this process (quick, and a test can look inside) or as one of its own
(it can be killed)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from bus import paths, subjects, wire
from bus.client import Bus
from bus.event import Draft, Event
from bus.types import ANNOUNCED
from leafnodes.config import LOOPBACK, at_address
from leafnodes.credentials.store import Store
from leafnodes.credentials.tier import SERVICES
from leafnodes.proxy import LinkProxy
from services.controller.controller import Controller
from services.shims.base import Shim
from services.shims.host import AnyShim, Host
from services.shims.shims import make_shims
from services.tier.run import tier
from services.tier.runtime import Runtime
from services.tier.settings import TierSettings
from services.tier.trust import Trust
from tests.integration.tier_api import Answer as Answer
from tests.integration.tier_api import Api as Api
from tests.integration.tier_api import config as config
from tests.support import eventually

HEARTBEAT = 0.2
SYNC = 0.3
START = 60.0
PORTS = 20
PAPER_EPOCH = "00000001.00000000000000aa"
REPO = Path(__file__).parents[2]


class Tier(Api):
    """One tier. `link` is the proxy on the way to its parent; `state` its directory."""

    def __init__(self, path: str, state: Path, link: LinkProxy | None) -> None:
        super().__init__(path)
        self.state = state
        self._link = link
        self.info: Answer = {}

    @property
    def link(self) -> LinkProxy:
        assert self._link is not None, f"{self.path} has no parent"
        return self._link

    @property
    def services(self) -> Path | None:
        """The credential of its services, where it has credentials."""
        file = Store(self.state).user_file(SERVICES)
        return file if file.exists() else None

    @property
    def leaf(self) -> str:
        """What its children dial."""
        return str(self.info["leaf"])

    async def start(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError


class LocalTier(Tier):
    """A tier in this process. After a stop it can be started again on the same directory."""

    def __init__(
        self, settings: TierSettings, link: LinkProxy | None, shims: Sequence[Shim], trust: Trust | None = None
    ) -> None:
        super().__init__(settings.path, settings.state, link)
        self._settings = settings
        self._trust = trust
        self._shims = shims
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._found: list[Controller] = []
        self._runtimes: list[Runtime] = []
        self._hosts: list[Host] = []

    @property
    def controller(self) -> Controller:
        return self._found[-1]

    @property
    def runtime(self) -> Runtime:
        return self._runtimes[-1]

    @property
    def host(self) -> Host:
        return self._hosts[-1]

    def believe(self, trust: Trust) -> None:
        """From its next start on."""
        self._trust = trust

    async def start(self) -> None:
        self._stopping.clear()
        ready: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(ready), name=f"tier {self.path}")
        await asyncio.wait([self._task, ready], timeout=START, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            failed, self._task = self._task, None
            await failed
        self.info = await ready
        await self.connect(self.info["nats"], self.services)

    async def _run(self, ready: asyncio.Future[Answer]) -> None:
        async with tier(self._settings, [self._host, self._controller], self._trust) as info:
            ready.set_result(info)
            await self._stopping.wait()

    def _host(self, runtime: Runtime) -> Host:
        self._runtimes.append(runtime)
        own = {shim.kind: shim for shim in self._shims}
        made: list[AnyShim] = [
            own[kind] if kind in own else make_shims(runtime, [kind])[0] for kind in self._settings.shims
        ]
        self._hosts.append(Host(runtime, made))
        return self._hosts[-1]

    def _controller(self, runtime: Runtime) -> Controller:
        self._found.append(Controller(runtime))
        return self._found[-1]

    async def stop(self) -> None:
        await self.disconnect()
        task, self._task = self._task, None
        if task is not None:
            self._stopping.set()
            await task


class ProcessTier(Tier):
    """A tier as `ote tier` runs it; `program` are Python's arguments in front of the tier's own."""

    def __init__(self, settings: TierSettings, link: LinkProxy | None, program: Sequence[str]) -> None:
        super().__init__(settings.path, settings.state, link)
        self._settings = settings
        self.program = program
        self.process: asyncio.subprocess.Process | None = None

    @property
    def output(self) -> str:
        """What it has logged."""
        return (self.state / "tier.log").read_text()

    async def start(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        file = self.state / "tier.json"
        file.unlink(missing_ok=True)
        with (self.state / "tier.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *self.program, *_arguments(self._settings), stdout=log, stderr=log, cwd=REPO
            )

        def up() -> bool:
            assert self.process is not None
            if self.process.returncode is not None:
                raise RuntimeError(f"{self.path} did not start: {self.output[-2000:]}")
            return file.exists()

        await eventually(up, START, what=f"{self.path} is up")
        self.info = json.loads(file.read_text())
        await self.connect(self.info["nats"], self.services)

    async def kill(self) -> None:
        """SIGKILL. Its server goes on."""
        await self.disconnect()
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        await self.disconnect()
        process, self.process = self.process, None
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
            await process.wait()
        elif process.returncode < 0 and (pid := self.info.get("server_pid")) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


class Tiers:
    """Tiers that are stopped at the end of the test, the last first."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._open = AsyncExitStack()
        self._all: dict[str, Tier] = {}
        self._count = 0

    def __getitem__(self, path: str) -> Tier:
        return self._all[path]

    async def grow(
        self,
        path: str,
        parent: Tier | None = None,
        *,
        tags: Sequence[str] = (),
        shims: Sequence[Shim | str] = ("local",),
        wait: bool = True,
        trust: Trust | None = None,
        **settings: Any,
    ) -> LocalTier:
        """A tier in this process; it is there when its parent sees it online. A shim may be given as such."""
        link = await self._join(parent)
        kinds = [shim if isinstance(shim, str) else shim.kind for shim in shims]
        made = self._settings(path, parent, link, tags=list(tags), shims=kinds, **settings)
        new = LocalTier(made, link, [shim for shim in shims if not isinstance(shim, str)], trust)
        await self._start(new, parent if wait else None)
        return new

    async def spawn(
        self,
        path: str,
        parent: Tier | None = None,
        *,
        tags: Sequence[str] = (),
        shims: Sequence[str] = ("local",),
        program: Sequence[str] = ("-m", "services.cli"),
        wait: bool = True,
        **settings: Any,
    ) -> ProcessTier:
        """A tier in a process of its own."""
        link = await self._join(parent)
        made = self._settings(path, parent, link, tags=list(tags), shims=list(shims), **settings)
        new = ProcessTier(made, link, program)
        await self._start(new, parent if wait else None)
        return new

    async def _join(self, parent: Tier | None) -> LinkProxy | None:
        if parent is None:
            return None
        port = urlsplit(parent.leaf).port
        assert port is not None
        for _ in range(PORTS):
            # Between choosing a port and listening on it somebody else may take it.
            with suppress(OSError):
                return await self._open.enter_async_context(LinkProxy(LOOPBACK, port))
        raise RuntimeError("no free port")

    def _settings(self, path: str, parent: Tier | None, link: LinkProxy | None, **given: Any) -> TierSettings:
        self._count += 1
        leaf = given.pop("leaf", None)
        if parent is not None and link is not None:
            given["parent"] = at_address(leaf or parent.leaf, f"{LOOPBACK}:{link.port}")
        quick: Answer = {
            "heartbeat": HEARTBEAT,
            "sync_interval": SYNC,
            # Most tests cut links to see what a tier does that is alone.
            "failover": False,
            "state": self.directory / f"{path}-{self._count}",
        }
        return TierSettings(path=path, **(quick | given))

    async def _start(self, new: Tier, parent: Tier | None) -> None:
        self._open.push_async_callback(new.stop)
        await new.start()
        self._all.setdefault(new.path, new)
        for above in paths.ancestors(paths.Path(new.path)) if parent is not None else ():
            if above in self._all:
                await self._all[above].sees(new.path, "online")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._open.aclose()


def _arguments(settings: TierSettings) -> list[str]:
    words = ["tier", "--path", settings.path, "--state", str(settings.state)]
    words += [] if settings.failover else ["--no-failover"]
    words += ["--heartbeat", f"{settings.heartbeat}s", "--sync-interval", f"{settings.sync_interval}s"]
    for name in ("parent", "nats_url", "log_url", "commands"):
        if (value := getattr(settings, name)) is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    if settings.joins or "shims" not in settings.services:
        words += [word for name in settings.services for word in ("--service", name)]
    for tag in settings.tags:
        words += ["--tag", tag]
    for kind in settings.shims:
        words += ["--shim", kind]
    return words if settings.shims else [*words, "--no-shims"]


# What travels ------------------------------------------------------------------------------------


class Tap:
    """What goes by on these subjects at one tier's server. It is interest like any other: where it
    listens for mail, mail comes."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.messages: list[tuple[str, bytes]] = []

    async def listen(self, *patterns: str) -> Self:
        for pattern in patterns:
            await self._bus.subscribe(pattern, lambda message: self.messages.append((message.subject, message.data)))
        await self._bus.flush()
        return self

    def of(self, prefix: str) -> list[tuple[str, bytes]]:
        return [(subject, data) for subject, data in self.messages if subject.startswith(prefix)]


async def crowd(tier: Tier, count: int, *tags: str) -> list[str]:
    """Clusters directly below a tier that are known and never answer: only their announcements are real."""
    made = [f"{tier.path}.paper{number:03}" for number in range(count)]
    for path in made:
        announce(tier.bus, path, tags=dict.fromkeys(tags, ""), shims=[{"kind": "local", "default": True}])

    async def known() -> bool:
        listed = await tier.ask("clusters", {"limit": 1000})
        return set(made) <= {row["path"] for row in listed["clusters"]}

    await eventually(known, what=f"{count} clusters are known")
    return made


def announce(bus: Bus, path: str, /, **about: Any) -> Event:
    """Sends what a cluster says of itself when it begins its first life."""
    data = {"path": path, "tags": {}, "shims": [], "version": "0", "resources": {}, "instance": "x", "depth": 1}
    event = Draft(ANNOUNCED, subjects.event(ANNOUNCED, path), data | about).seal(path, PAPER_EPOCH, 1)
    bus.send(event.subject, wire.pack([event.body]), wire.EVENTS_HEADERS)
    return event

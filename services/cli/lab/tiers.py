"""One tier of a lab as processes and files: started, found, killed and stopped."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from leafnodes.auth import netloc
from leafnodes.config import LOOPBACK
from leafnodes.process import Process
from services.cli.lab.processes import Record
from services.cli.lab.tree import LabTier, Pace
from services.cli.lab.trouble import StepFailed

#: Seconds: until a tier is up; for a tier, and for a server that it left behind, to end in order.
PATIENCE, TIER_GRACE, SERVER_GRACE, POLL = 30.0, 10.0, 3.0, 0.02


#: One login for the children of all its tiers, on loopback only: so each can take in those of the others.
LOGIN = "child:of-this-lab"


@dataclass(frozen=True, slots=True)
class TierInfo:
    """What a tier says of itself in `tier.json`: its client and leaf URL, its log (SQLite), its server,
    and where its metrics are."""

    pid: int
    nats: str
    leaf: str
    log: Path
    server_pid: int
    metrics: str | None


class TierProcess:
    """The tier of this place in the tree, in a directory of its own."""

    def __init__(self, tier: LabTier, directory: Path, pace: Pace) -> None:
        self.tier = tier
        self.path = tier.path
        self.directory = directory / tier.path
        self._pace = pace
        self._record = Record(self.directory / "process.json")

    @property
    def output(self) -> Path:
        """The log that people read: what the tier prints."""
        return self.directory / "tier.log"

    @property
    def log(self) -> Path:
        """The event log (SQLite)."""
        return self.directory / "log.db"

    def process(self) -> Process | None:
        """The tier's process, if it runs."""
        return self._record.find()

    def server(self) -> Process | None:
        """Its nats-server, if that runs: a tier that was killed leaves it."""
        return Process.find(self.directory / "nats.pid", self.directory / "nats.conf")

    def info(self) -> TierInfo | None:
        """What the tier last said of itself; None before its first start, and after an end in order."""
        try:
            said: dict[str, Any] = json.loads((self.directory / "tier.json").read_text())
        except FileNotFoundError:
            return None
        return TierInfo(
            said["pid"], said["nats"], said["leaf"], Path(said["log"]), said["server_pid"], said.get("metrics")
        )

    def pids(self) -> list[int]:
        """The processes that run: the tier, then its server."""
        return [process.pid for process in (self.process(), self.server()) if process is not None]

    def start(self, parent: str | None, reach: Mapping[str, int]) -> None:
        """Starts the process, which dials `parent` (a leaf URL); `reach` are the ports on which it reaches others."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._record.start(["services.cli", "tier", *self._arguments(parent, reach)], self.output)

    def _arguments(self, parent: str | None, reach: Mapping[str, int]) -> list[str]:
        pace = self._pace
        arguments = ["--path", self.path, "--state", str(self.directory), "--child-login", LOGIN]
        # All its tiers share this machine: a way through a sibling would go around the cables.
        arguments += ["--relays", "0"]
        arguments += [word for path, port in reach.items() for word in ("--reach", f"{path}={netloc(LOOPBACK, port)}")]
        arguments += ["--parent", parent] if parent else []
        arguments += [word for tag in self.tier.tags for word in ("--tag", tag)]
        arguments += [word for shim in self.tier.shims for word in ("--shim", shim)] or ["--no-shims"]
        arguments += ["--heartbeat", str(pace.heartbeat), "--missed-heartbeats", str(pace.missed_heartbeats)]
        return [*arguments, "--sync-interval", str(pace.sync_interval)]

    async def up(self) -> TierInfo:
        """What the tier says once it is up. StepFailed if its process ends, or takes too long."""
        process = self.process()
        end = time.monotonic() + PATIENCE
        while process is not None and process.alive():
            info = self.info()
            if info is not None and info.pid == process.pid:
                return info
            if time.monotonic() > end:
                raise StepFailed(f"{self.path} is not up after {PATIENCE:g} s", self.output)
            await asyncio.sleep(POLL)
        raise StepFailed(f"{self.path} did not come up: its process has ended", self.output)

    async def kill(self) -> int | None:
        """SIGKILL to the tier's process alone; its pid, None if it did not run. Its server goes on."""
        process = self.process()
        if process is None:
            return None
        process.signal(signal.SIGKILL)
        await process.gone()
        return process.pid

    async def stop(self) -> list[int]:
        """Ends the tier in order, then what is left of it; the pids that ran."""
        stopped = []
        for find, grace in ((self.process, TIER_GRACE), (self.server, SERVER_GRACE)):
            if (process := find()) is not None:
                await process.end(grace)
                stopped.append(process.pid)
        self._record.forget()
        return stopped


def through(leaf: str, port: int) -> str:
    """The leaf URL, but by way of a link that listens on this port."""
    url = urlsplit(leaf)
    login = url.netloc.rpartition("@")[0]
    return urlunsplit(url._replace(netloc=f"{login}@{netloc(LOOPBACK, port)}" if login else netloc(LOOPBACK, port)))


def port_of(leaf: str) -> int:
    """The port of a leaf URL."""
    port = urlsplit(leaf).port
    assert port is not None, leaf
    return port

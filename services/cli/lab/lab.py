"""A tree of real tiers on this machine, kept in one directory: up, down, cut, heal, and what it is now.

Nothing of it is in memory: every process is found by its record, so that any command may go on where
another one ended, however that was.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

from bus import paths
from bus.errors import BadRequest, Refused, Unavailable
from services.cli.lab.online import all_online, linked
from services.cli.lab.signals import surely
from services.cli.lab.tiers import TierInfo, TierProcess, port_of, through
from services.cli.lab.tree import TREE, Pace, Tree, alternates, at_or_below, find
from services.cli.lab.wiring import Wiring
from services.cli.where import STATE_FILE
from services.tier.exposition import TARGETS, write_targets

#: Told of each step, in words for people.
Say = Callable[[str], None]

#: Seconds: for the links' program to end; until another command has left the lab alone; between looks.
LINKS_GRACE, PATIENCE, POLL = 3.0, 60.0, 0.05


def _nothing(_: str) -> None:
    """Says nothing."""


class Lab:
    """The lab in this directory. `say` hears each step that was done."""

    def __init__(self, directory: Path, tree: Tree = TREE, pace: Pace | None = None, say: Say = _nothing) -> None:
        self.directory = directory.resolve()
        self.tree = tree
        self.wiring = Wiring(self.directory)
        self._say = say
        self.tiers = {tier.path: TierProcess(tier, self.directory, pace or Pace()) for tier in tree}

    @property
    def root(self) -> str:
        """The path of its root."""
        return self.tree[0].path

    def info(self, path: str) -> TierInfo:
        """How to reach a tier. NotFound if the lab has none there, Unavailable if it was never up."""
        find(self.tree, path)
        info = self.tiers[path].info()
        if info is None:
            raise Unavailable(f"{path} is not up", hint="ote lab up")
        return info

    # -- up --------------------------------------------------------------------------------------------

    async def up(self) -> list[str]:
        """Starts what does not run, parents first, and returns when the root sees every cluster online that
        is not behind a cut link. The paths of the tiers that were started. If a step fails, or this is
        cancelled, what it has started is taken down again."""
        self._prepare()
        started: list[str] = []
        async with self._alone():
            fresh = self.wiring.process() is None
            try:
                await self.wiring.start()
                await self._bring_up(started)
                self.publish()
                await all_online(self.info(self.root).nats, self._reachable(), self.tiers)
                self._say(f"{self.root} sees all clusters online")
            except BaseException:
                await surely(self._take_down(started, links=fresh))
                raise
        return started

    def _prepare(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            hint = "give a directory that may be written to: --state DIR"
            said = f"{self.directory} can not be the lab's: {error.strerror}"
            raise BadRequest(said, field="--state", hint=hint) from None

    async def _bring_up(self, started: list[str]) -> None:
        ready = {path: asyncio.Event() for path in self.tiers}

        async def bring(tier: TierProcess) -> None:
            for above in (tier.tier.parent, *alternates(self.tree, tier.path)):
                if above in ready:
                    await ready[above].wait()
            await self._start(tier, started)
            ready[tier.path].set()

        async with asyncio.TaskGroup() as group:
            for tier in self.tiers.values():
                group.create_task(bring(tier), name=f"start {tier.path}")

    async def _start(self, tier: TierProcess, started: list[str]) -> None:
        runs = tier.process() is not None
        parent = await self._way_up(tier, settled=runs)
        if not runs:
            started.append(tier.path)
            tier.start(parent, await self._ways_around(tier))
        await tier.up()
        self._say(f"{tier.path} {'runs' if runs else 'is up'}")

    async def _way_up(self, tier: TierProcess, *, settled: bool) -> str | None:
        """The leaf URL that this tier dials: its parent's, by way of its link."""
        if tier.tier.parent not in self.tiers:
            return None
        leaf = self.info(tier.tier.parent).leaf
        return through(leaf, await self.wiring.join(tier.path, port_of(leaf), settled=settled))

    async def _ways_around(self, tier: TierProcess) -> dict[str, int]:
        """The ports on which this tier reaches its alternates, each by way of a link that is cut with its own."""
        others = {path: self.tiers[path].info() for path in alternates(self.tree, tier.path)}
        return {
            path: await self.wiring.reach(tier.path, path, port_of(info.leaf), settled=False)
            for path, info in others.items()
            if info is not None
        }

    def _reachable(self) -> list[str]:
        off = {path for path, state in self.wiring.states().items() if state != "up"}
        return [
            path for path in self.tiers if path != self.root and not off.intersection([path, *paths.ancestors(path)])
        ]

    async def start(self, path: str) -> TierInfo:
        """Starts one tier of a lab that is up, and returns when it is up again."""
        tier = self.tiers[find(self.tree, path).path]
        await self._start(tier, [])
        self.publish()
        return self.info(path)

    def publish(self) -> None:
        """Writes where Prometheus finds the tiers, and `lab.json`: `{"tiers": {PATH: {"nats": URL, "metrics": URL,
        "pids": [...], "log": FILE}}, "links": ...}`."""
        tiers = {path: self._public(path, self.info(path)) for path in self.tiers}
        links = self.wiring.process()
        content = {"tiers": tiers, "links": {"pids": [links.pid] if links else [], "log": str(self.wiring.log)}}
        draft = self.directory / f"{STATE_FILE}.part"
        draft.write_text(json.dumps(content, indent=2) + "\n")
        draft.replace(self.directory / STATE_FILE)
        write_targets(self.directory / TARGETS, {path: tier["metrics"] for path, tier in tiers.items()})

    def _public(self, path: str, info: TierInfo) -> dict[str, Any]:
        return {"nats": info.nats, "metrics": info.metrics, "pids": self.tiers[path].pids(), "log": str(info.log)}

    # -- down ------------------------------------------------------------------------------------------

    async def down(self) -> list[int]:
        """Ends everything, children before parents; the pids that ran. What the tiers know stays in the
        directory, for the next `up`."""
        if not self.directory.is_dir():
            return []
        async with self._alone():
            return await self._take_down(list(self.tiers), links=True)

    async def _take_down(self, chosen: list[str], *, links: bool) -> list[int]:
        stopped: list[int] = []
        for level in sorted({paths.depth(path) for path in chosen}, reverse=True):
            tiers = [self.tiers[path] for path in chosen if paths.depth(path) == level]
            stopped += [pid for pids in await asyncio.gather(*map(self._stop, tiers)) for pid in pids]
        if links and (process := await self.wiring.stop(LINKS_GRACE)) is not None:
            stopped.append(process.pid)
        if links:
            (self.directory / STATE_FILE).unlink(missing_ok=True)
        return stopped

    async def _stop(self, tier: TierProcess) -> list[int]:
        pids = await tier.stop()
        if pids:
            self._say(f"{tier.path} is down")
        return pids

    # -- faults ----------------------------------------------------------------------------------------

    async def cut(self, path: str, *, hang: bool = False) -> list[str]:
        """Unplugs the link between this tier and its parent, or, to `hang`, lets nothing through that is not
        noticed. Returns, when that is so, the paths that are cut off."""
        self._parent(path)
        async with self._alone():
            await self.wiring.be(path, "hang" if hang else "cut")
            if not hang:
                await linked(self.tiers[path].directory, path, False)
        return at_or_below(self.tree, path)

    async def heal(self, path: str) -> list[str]:
        """Plugs it in again. Returns, when the servers are linked, the paths that are no longer cut off."""
        ends = (path, self._parent(path))
        async with self._alone():
            await self.wiring.be(path, "up")
            if all(self.tiers[end].server() is not None for end in ends):
                await linked(self.tiers[path].directory, path, True)
        return at_or_below(self.tree, path)

    def _parent(self, path: str) -> str:
        parent = find(self.tree, path).parent
        if parent is None:
            raise BadRequest(
                f"{path} is the root: it has no link to a parent", field="path", hint="name a tier below it"
            )
        return parent

    # -- one at a time ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Commands that change one lab go one after the other."""
        with (self.directory / "lab.lock").open("w") as lock:
            end = time.monotonic() + PATIENCE
            while not _locked(lock):
                if time.monotonic() > end:
                    said = f"another command starts or stops the lab in {self.directory}"
                    raise Refused(said, hint="try again when it has ended")
                await asyncio.sleep(POLL)
            yield


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@asynccontextmanager
async def running(lab: Lab) -> AsyncIterator[Lab]:
    """A lab that is up within the block, and of which nothing runs after it."""
    await lab.up()
    try:
        yield lab
    finally:
        await surely(lab.down())

"""A tree, what was sent through it, and its logs: what a fault is played on, and judged by."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from bus.errors import Unavailable
from bus.event import Event
from bus.types import FINALS
from services.cli.demo.audit import audit
from store.verify import verify
from tests.faults.audit import excused, lacking, miscounted, misdirected, misjudged, recounted, strangers, waits
from tests.faults.kit import SMALL, Tier, Tree, tree
from tests.faults.load import Load
from tests.faults.logs import LogView
from tests.faults.traps import STOP, Trap
from tests.support import eventually

REST, SPRING = 60.0, 60.0


class World:
    """`spoiled` while a test has not found it whole: the next one then needs a fresh one."""

    def __init__(self, grown: Tree) -> None:
        self.tree = grown
        self.load = Load(grown)
        self.logs = {path: LogView(path, tier.log) for path, tier in grown.tiers.items()}
        self.spoiled = False
        #: Whose logs have lost something, and what was acknowledged and is known to nobody any more.
        self.losers: set[str] = set()
        self._lost_now: set[str] = set()
        self.unknowable: dict[str, list[str]] = {}

    def __getitem__(self, path: str) -> Tier:
        return self.tree[path]

    # -- faults ----------------------------------------------------------------------------------------

    async def sprung(self, traps: Mapping[str, Trap]) -> None:
        """Sends commands until every trap has done its work; what it killed is started again for the next."""
        for path, trap in traps.items():
            self[path].lay(trap)
        waiting = dict(traps)
        while waiting:
            self.load.burst()
            path = await eventually(lambda: self._gone_off(waiting), SPRING, what=f"one of {waiting} goes off")
            await self.went_off(waiting.pop(path), path)
            if waiting and not self[path].runs:
                await self[path].start()

    def _gone_off(self, traps: Mapping[str, Trap]) -> str:
        return next((path for path, trap in traps.items() if trap.went_off(self[path].state)), "")

    async def went_off(self, trap: Trap, path: str) -> None:
        """Returns when a trap has done its work."""
        tier = self[path]
        await eventually(lambda: trap.went_off(tier.state), SPRING, what=f"{path} passes {trap.step}")
        if trap.action == STOP:
            await eventually(lambda: tier.frozen, what=f"{path} is stopped")
        elif trap.action.startswith("kill"):
            await tier.ended()

    async def cut_off(self, child: str) -> None:
        """Cuts a link, and returns when the child knows."""
        await self.tree.links[child].cut()
        await eventually(lambda: self._is_away(child), SPRING, what=f"{child} sees that its parent is away")

    async def _is_away(self, child: str) -> bool:
        status = await self[child].call("status", {})
        return bool(status["link"]["state"] == "down")

    def received(self, *commands: str) -> bool:
        """Whether the root knows that all targets have received these commands."""
        root = self.logs["root"]
        root.refresh()
        return all(
            (command, target) in root.delivered for command in commands for target in self.load.acknowledged[command]
        )

    def done(self, *commands: str) -> bool:
        """Whether all targets have said of these commands what became of them."""
        for log in self.logs.values():
            log.refresh()
        return all(
            self.logs[target].finals.get(command) for command in commands for target in self.load.acknowledged[command]
        )

    def finals(self, command: str, target: str) -> list[str]:
        """What a target has said of the end of a command, in its order."""
        self.logs[target].refresh()
        return [FINALS[event.type] for event in self.logs[target].finals[command]]

    def finals_at(self, target: str) -> set[str]:
        """The commands of which a target has said what became of them."""
        self.logs[target].refresh()
        return {command for command, finals in self.logs[target].finals.items() if finals}

    def states(self) -> dict[str, int]:
        """How the commands ended, counted over all targets."""
        finals = [finals[-1] for log in self.logs.values() for finals in log.finals.values() if finals]
        return dict(Counter(FINALS[final.type] for final in finals))

    def lost(self, path: str) -> None:
        """A log has lost what it had said. What was acknowledged by it, and is in no other, nobody can know."""
        self.logs[path] = LogView(path, self.tree[path].log)
        self.losers.add(path)
        self._lost_now.add(path)
        others = [log for other, log in self.logs.items() if other not in self._lost_now]
        for log in others:
            log.refresh()
        left = {event.data.get("command") for log in others for event in log.mail}
        for command, origin in list(self.load.origins.items()):
            if origin in self._lost_now and command not in left:
                self.unknowable[command] = self.load.acknowledged.pop(command)
                del self.load.origins[command]

    # -- judgement -------------------------------------------------------------------------------------

    async def at_rest(self) -> None:
        """Takes all faults away, waits until nothing is on its way, and audits."""
        gave_up = [path for path, tier in self.tree.tiers.items() if tier.gave_up]
        assert not gave_up, f"{gave_up} ended: see tier.log in {self.tree.directory}"
        await self.tree.restore()
        await self.load.told()
        await eventually(self._nothing_lacks, REST, what="the tree comes to rest")
        # Tiers may still have something to say of each other: the logs are read one after the other.
        await eventually(self._kept, REST, what="every promise is kept")
        self._lost_now.clear()
        self.spoiled = False

    def _nothing_lacks(self) -> bool:
        for log in self.logs.values():
            log.refresh()
        missing = lacking(self.logs, self.load.acknowledged)
        assert not missing, missing[:10]
        return True

    async def _kept(self) -> bool:
        for log in self.logs.values():
            log.refresh()  # an origin that had lost its log may get back what it had sent after all else is at rest
        faults = [*strangers(self.logs), *misdirected(self.logs, self.load.acknowledged)]
        for path, counter in self.tree.counters.items():
            if path in self.losers:
                faults += recounted(self.logs[path], counter)
                continue
            faults += miscounted(self.logs[path], counter)
        assert not faults, "\n".join(faults[:20])
        try:
            await asyncio.gather(*(tier.call("status", {}) for tier in self.tree.tiers.values()))
        except Unavailable:
            return False
        report = await audit(self.tree.logs, acknowledged=self.load.acknowledged, settled=False)
        broken = [finding for finding in report.findings if not excused(finding, self.logs, self.losers)]
        assert not broken, str(replace(report, findings=tuple(broken)))[:3000]
        return True

    async def truthful(self) -> None:
        """Returns when what each tier tells of the tree is what the tree is, and nobody waits for anything."""
        await eventually(self._told_truly, REST, what="every tier tells the truth")

    async def _told_truly(self) -> bool:
        tiers = self.tree.tiers
        try:
            asked = [
                (tier.call("status", {}), tier.call("links", {}), tier.call("clusters", {})) for tier in tiers.values()
            ]
            told = await asyncio.gather(*(asyncio.gather(*each) for each in asked))
        except Unavailable:
            return False
        links = {path: link for path, (_, link, _) in zip(tiers, told, strict=True)}
        own = {
            row["path"]: row
            for _, _, seen in told
            for row in seen["clusters"]
            if row["path"] == seen["clusters"][0]["path"]
        }
        wrong = []
        for path, (status, _, seen) in zip(tiers, told, strict=True):
            wrong += [f"{path} says: {what}" for what in waits(status, links[path])]
            wrong += [f"{path} says: {what}" for what in misjudged(path, seen["clusters"], own, links)]
        assert not wrong, wrong[:10]
        return True

    async def verified(self) -> None:
        """What each log has derived from its events is what they give when it is made anew."""
        for path, tier in self.tree.tiers.items():
            findings = await asyncio.to_thread(verify, tier.log, Event.decode)
            assert not findings, (path, findings[:10])


@asynccontextmanager
async def world(directory: Path, tiers: Mapping[str, list[str]] = SMALL) -> AsyncIterator[World]:
    """A world of its own."""
    async with tree(directory, tiers) as grown:
        found = World(grown)
        try:
            yield found
        finally:
            await found.load.close()

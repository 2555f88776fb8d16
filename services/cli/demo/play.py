"""The story of the demo: a shop on every site, two cuts, a killed process, and all of it whole again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bus.client import Bus
from bus.event import now
from services.cli.demo.audit import AuditReport, Outage, audit
from services.cli.demo.lag import Lag, look
from services.cli.demo.origins import Origin
from services.cli.demo.plan import ROOT, Plan
from services.cli.demo.screen import Screen
from services.cli.demo.shop import Shop, manifests
from services.cli.demo.tables import original_times, receipts, undelivered
from services.cli.lab.lab import Lab
from services.cli.lab.tree import at_or_below
from services.cli.manifests import Manifest
from services.cli.render import count_of
from services.cli.views.clusters import cluster_table, cluster_tree

STEPS = 6
#: Seconds: between two commands of one origin; for which a killed process stays away; until an outage must be
#: noticed; until all must be whole again; for which it must stay so; until the last events must be everywhere; for
#: the receipts of the tiers on the way; between looks.
BREATH, AWAY, NOTICE, WHOLE, SURE, SETTLE, RECEIPTS, LOOK = 0.08, 1.0, 15.0, 45.0, 1.5, 15.0, 3.0, 0.15


@dataclass(slots=True)
class Run:
    """What happened, for the report."""

    plan: Plan
    outages: list[Outage] = field(default_factory=list)
    killed_pid: int | None = None
    #: Seconds from healing until nothing was behind; None if that did not come.
    whole_after: float | None = None


class Play:
    """One run in a lab that is up."""

    def __init__(self, plan: Plan, lab: Lab, screen: Screen, tiers: Mapping[str, Origin]) -> None:
        self.run = Run(plan)
        self._plan = plan
        self._lab = lab
        self._screen = screen
        self._tiers = tiers
        self._root = tiers[ROOT]
        self._shop = Shop(plan.seed)

    async def apply_shop(self) -> None:
        """The shop on every site with a camera, with the receipts of each."""
        id = await self._root.apply("tag:camera", manifests())
        await self._root.finished([id])
        self._screen.say(f"command {id}; after it was accepted:")
        self._screen.say(receipts(await self._root.receipts(id, RECEIPTS)))

    async def cut(self) -> dict[str, str]:
        """Cuts off the region and the site; when each was."""
        begun = {}
        for path, hang in ((self._plan.region, False), (self._plan.site, self._plan.hang)):
            off = await self._lab.cut(path, hang=hang)
            begun[path] = now()
            self._screen.say(f"the link of {path} {'hangs' if hang else 'is cut'}: {count_of(len(off), 'cluster')} off")
        return begun

    async def command(self) -> None:
        """The root, the region and the site go on commanding; in the middle a tier's process is killed."""
        plan = self._plan
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._from_root(enough), name="root commands")
            group.create_task(self._from(plan.region, f"under:{plan.region}", self._shop.from_region), name="region")
            group.create_task(self._from(plan.site, plan.site, self._shop.from_site), name="site")
            group.create_task(self._kill(enough), name="kill")
        for path, count in plan.origins.items():
            again = self._tiers[path].offered_again
            more = f" ({again} offers found it away)" if again else ""
            self._screen.say(f"{path} took {count_of(count, 'command')}{more}")
        for path in (plan.region, plan.site):
            await self._tiers[path].finished(self._of(path))
            self._screen.say(f"{path} has carried out all of its own while it is cut off")

    async def _from_root(self, enough: asyncio.Event) -> None:
        for number in range(self._plan.origins[ROOT]):
            await self._root.apply(f"under:{ROOT}", self._shop.from_root(ROOT))
            if number == self._plan.kill_after:
                enough.set()
            await asyncio.sleep(BREATH)

    async def _from(self, path: str, to: str, change: Callable[[str], list[Manifest]]) -> None:
        for _ in range(self._plan.origins[path]):
            await self._tiers[path].apply(to, change(path))
            await asyncio.sleep(BREATH)

    async def _kill(self, enough: asyncio.Event) -> None:
        await enough.wait()
        killed = self._plan.killed
        self.run.killed_pid = await self._lab.tiers[killed].kill()
        self._screen.say(f"kill -9 {self.run.killed_pid}: the process of {killed}, in the middle of this")
        await asyncio.sleep(AWAY)
        info = await self._lab.start(killed)
        self._screen.say(f"{killed} is back as process {info.pid}; its server went on without it")

    def _of(self, path: str) -> list[str]:
        """What this origin was given to do in the outage, and accepted."""
        return list(self._tiers[path].accepted)

    async def meanwhile(self) -> None:
        """What the root knows while it reaches only a part of the tree."""
        gone = {path for cut in (self._plan.region, self._plan.site) for path in at_or_below(self._lab.tree, cut)}
        end = time.monotonic() + NOTICE
        while time.monotonic() < end:
            known = (await look({ROOT: self._root})).clusters
            if all(path in known and known[path].state == "offline" for path in gone):
                break
            await asyncio.sleep(LOOK)
        self._screen.say("what the root knows meanwhile:")
        self._screen.say(cluster_table(await self._root.api.clusters(), datetime.now(UTC)))
        self._screen.say(undelivered(await self._root.api.ask("status"), datetime.now(UTC)))

    async def heal(self, begun: Mapping[str, str]) -> None:
        """Heals both links, and watches until nothing is behind."""
        healed = time.monotonic()
        for path, begin in begun.items():
            self.run.outages.append(Outage(path, begin, now(), self._of(path)))
            await self._lab.heal(path)
            self._screen.say(f"the link of {path} is up again")
        lag, since = await self._watch_lag(healed + WHOLE)
        if lag.none:
            self.run.whole_after = round(since - healed, 3)
            self._screen.say(f"nothing is behind {self.run.whole_after:.1f} s after the first link was healed")
        else:
            self._screen.say(f"after {WHOLE:g} s there is still")
            self._screen.say(lag.text())
        await self._show_late()

    async def _watch_lag(self, end: float) -> tuple[Lag, float]:
        """Returns when nothing is behind, and since when. What a cluster has said and nobody has heard shows with
        its next heartbeat only, so that it must stay so for a while."""
        since = time.monotonic()
        with self._screen.watching() as show:
            while True:
                lag = await look(self._tiers)
                show(lag.text())
                moment = time.monotonic()
                since = since if lag.none else moment
                if moment > since + SURE or moment > end:
                    return lag, since
                await asyncio.sleep(LOOK)

    async def _show_late(self) -> None:
        """A few results from within the outages: when they were, and when the root heard of them."""
        late = {}
        for outage in self.run.outages:
            await self._root.finished(outage.commands[-1:])
            late.update((await self._root.api.whole_command(outage.commands[-1]))["targets"])
        self._screen.say("the last command from within each outage, with its original time:")
        self._screen.say(original_times(late))

    async def audit(self) -> AuditReport:
        """Audits every log; what is still on its way up is given a moment to arrive."""
        logs = {path: tier.log for path, tier in self._lab.tiers.items()}
        accepted = {id: targets for tier in self._tiers.values() for id, targets in tier.accepted.items()}
        end = time.monotonic() + SETTLE
        while True:
            report = await audit(logs, acknowledged=accepted, outages=self.run.outages)
            if report.ok or time.monotonic() > end:
                return report
            await asyncio.sleep(LOOK)


async def play(plan: Plan, lab: Lab, screen: Screen) -> tuple[Run, AuditReport]:
    """Plays the story in this lab, and audits it. The lab is brought up here, and is left up."""
    with screen.step(f"Start the lab: {len(lab.tiers)} tiers, each with its own NATS server and SQLite log"):
        await lab.up()
    async with AsyncExitStack() as stack:
        tiers = {}
        for path in lab.tiers:
            bus = await stack.enter_async_context(await Bus.connect(lab.info(path).nats, name=f"demo {path}"))
            tiers[path] = Origin(path, bus)
        play = Play(plan, lab, screen, tiers)
        screen.say(cluster_tree(await tiers[ROOT].api.clusters(), datetime.now(UTC)))
        with screen.step("Apply the shop to tag:camera from the root"):
            await play.apply_shop()
        with screen.step(f"Cut the region {plan.region} and the site {plan.site}"):
            begun = await play.cut()
        with screen.step(f"Go on: {sum(plan.origins.values())} commands from the root, the region and the site"):
            await play.command()
            await play.meanwhile()
        with screen.step("Heal"):
            await play.heal(begun)
        with screen.step("Audit every log"):
            report = await play.audit()
        return play.run, report

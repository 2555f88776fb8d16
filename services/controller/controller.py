"""The controller of a tier: its parts, and how they are tied together."""

from __future__ import annotations

import asyncio
from collections.abc import Set

from bus.types import FINALS, STARTED
from services.controller import interest
from services.controller.admission import Admission
from services.controller.answerer import Answerer
from services.controller.api import admission_api, local_api
from services.controller.asker import Asker
from services.controller.commands import Commands
from services.controller.events import Events
from services.controller.floods import Floods
from services.controller.inbound import Inbound
from services.controller.interest import Interest
from services.controller.keeper import Keeper
from services.controller.links.kin import Kin
from services.controller.links.report import Report
from services.controller.links.ways import Ways
from services.controller.membership import Membership
from services.controller.metrics import TierMetrics
from services.controller.objects import Objects
from services.controller.overview import Overview
from services.controller.queried import Queried
from services.controller.queries import Queries
from services.controller.registry import Registry
from services.controller.tracker import Tracker
from services.controller.undoing import Undo
from services.tier.runtime import Runtime

#: Requests that only wait would hold up the end: what works is done sooner (seconds).
STOP_GRACE = 0.5


class Controller:
    """Registry and membership, submit and track, selectors, repair. Without its API (`answers`) it can share
    the server of another tier."""

    name = "controller"

    def __init__(self, runtime: Runtime, *, answers: bool = True) -> None:
        self._runtime = runtime
        self._answers = answers
        self.registry = Registry(runtime)
        self.kin = Kin(runtime, self.registry)
        self.floods = Floods(runtime, is_known=lambda path: path in self.registry.snapshot.rows)
        self.membership = Membership(runtime, self.registry, self.floods)
        self.inbound = Inbound(runtime, on_gap=lambda: self.asker.wake(), floods=self.floods)
        self.asker = Asker(
            runtime, self.inbound, renewed=self.membership.announce, greeted=self.membership.beat, kin=self.kin
        )
        own = runtime.credentials
        self.admission = Admission(runtime, own) if own is not None else None
        self.keeper = Keeper(runtime, own, self.asker) if own is not None else None
        self.ways = Ways(runtime, self.registry, self.asker, self.kin)
        self.inbound.stored.connect(self.ways.relay.see)
        self._mail = Interest(runtime.bus, self.inbound.on_mail)
        self._queries = Interest(runtime.bus, Queried(runtime, self.registry).on_query)
        self._answerer = Answerer(
            runtime,
            self.inbound,
            admit=self.membership.admit,
            knows=self.membership.knows,
            carried=self.membership.carried,
            shown=self.asker.shown,
            above=self.asker.above,
            kin=self.kin,
            renewed=self.membership.announce,
            floods=self.floods,
        )
        self.metrics = TierMetrics(runtime, self.registry, self.membership, self.asker, self._answerer, self.inbound)
        self._tracker = Tracker()
        self.commands = Commands(runtime, self.registry, self._tracker)
        overview = Overview(runtime, self.registry, self.membership, self.asker, self.inbound)
        queries = Queries(runtime, self.registry, self.commands)
        objects = Objects(runtime, self.registry, overview)
        undo = Undo(runtime, self.registry)
        report = Report(runtime, self.kin, self.ways, self.membership)
        self._api = local_api(
            runtime, self.commands, self.registry, overview, Events(runtime), queries, objects, undo, report
        )
        if self.admission is not None and self.keeper is not None:
            admission_api(self._api, self.admission, self.keeper)

    async def start(self) -> None:
        """Takes up where the log stands, listens, and opens the local API last."""
        self._runtime.observed.connect(self._tracker.see)
        self._runtime.bus.on_drop.append(lambda _: self.asker.wake())
        self._runtime.connection.connect(self._on_connection)
        await self.asker.begin()
        await self.inbound.start()
        await self.membership.start()
        await self.registry.start()
        await self._listen()
        await self._answerer.start()
        await self.ways.start()
        if self.admission is not None and self.keeper is not None:
            await self.admission.start()
            await self.keeper.start()
        await self._runtime.bus.flush()
        if self._answers:
            await self._api.start()
        self._runtime.metrics.sources.append(self.metrics.gather)

    async def run(self) -> None:
        """Works until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.registry.run(self._refreshed), name="registry")
            group.create_task(self.membership.run(), name="membership")
            group.create_task(self.asker.run(), name="asker")
            group.create_task(self.floods.run(), name="floods")
            group.create_task(self.ways.run(), name="ways up and down")
            if self.admission is not None and self.keeper is not None:
                group.create_task(self.admission.run(), name="admission")
                group.create_task(self.keeper.run(), name="credentials")
            if "shims" not in self._runtime.settings.services:
                group.create_task(self._follow_host(), name="follow the host")

    async def _follow_host(self) -> None:
        """Where the host of the shims is another process, what it says is found in the log."""
        after = await self._runtime.log.read(lambda reader: reader.last_row())
        async for batch in self._runtime.log.follow(after=after, types=(STARTED, *FINALS)):
            self._tracker.see(stored.event for stored in batch if stored.event.source == self._runtime.path)

    async def stop(self) -> None:
        """Takes no more requests; those under way end first."""
        if self._answers:
            await self._api.stop(STOP_GRACE)

    def _on_connection(self, connected: bool) -> None:
        if connected:
            self.asker.wake()

    async def _refreshed(self, changed: Set[str] | None = None) -> None:
        self.membership.look(changed)
        self.ways.look()
        await self._listen()

    async def _listen(self) -> None:
        """Hears what is for this cluster and those below, as their tags are now."""
        me, rows = self._runtime.path, self.registry.snapshot.rows
        await self._mail.update(interest.mail(me, (row.tags for row in rows.values())))
        own = rows.get(me)
        await self._queries.update(interest.queries(me, own.tags) if own is not None and own.shims else set())

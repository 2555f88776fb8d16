"""The supervisor of a tier's way up: gathers the facts, lets the decider decide, and does as it says.

The server tells at once when the link breaks; else it looks when the pulse of the tier above is due and missing.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import structlog

from bus import paths, subjects
from bus.client import Message
from bus.errors import OteError
from bus.types import PREFERRED
from leafnodes.server import NatsServer
from services.controller.asker import Asker
from services.controller.links.decider import Decider
from services.controller.links.deeds import Deeds
from services.controller.links.kin import Kin
from services.controller.links.pulse import Pulse
from services.controller.links.senses import LOOK, Senses
from services.controller.links.uplink import Uplink
from services.controller.links.visit import Visit
from services.tier import places
from services.tier.runtime import Runtime
from store.errors import StoreError

logger = structlog.get_logger()


class Supervisor:
    """Keeps a tier attached to somebody who answers."""

    def __init__(self, runtime: Runtime, server: NatsServer, asker: Asker, kin: Kin, pulse: Pulse) -> None:
        own = paths.parent(runtime.path)
        assert own is not None and runtime.begin is not None
        self._runtime = runtime
        self._asker = asker
        self._pulse = pulse
        self._own = own
        self._wake = asyncio.Event()
        self.uplink = Uplink(server, runtime.begin)
        self.decider = Decider(own, runtime.settings.fallback_after, at=runtime.begin.place)
        visit = Visit(runtime, pulse, refused=lambda: self.decider.refused(time.monotonic()))
        self._senses = Senses(runtime, asker, kin, pulse, self.uplink, visit, self.decider, self._on_answer)
        self._deeds = Deeds(runtime, server, asker, kin, pulse, self.uplink, visit, self.decider)
        if runtime.relay is not None:
            runtime.relay.is_open = lambda: self.is_at_home

    @property
    def is_at_home(self) -> bool:
        """Whether this tier has a link of its own to its parent, and is heard there."""
        route = self.uplink.route
        return route.relation == "parent" and self.uplink.path == route.host and self.decider.settled

    async def start(self) -> None:
        """Listens to the server and to the parent."""
        await self._runtime.bus.subscribe(subjects.server_events(), self._on_server_event)
        await self._heed_wish()
        before = await self._runtime.log.read(places.whereabouts)
        if before is not None and self.decider.at == before.place != self._own:
            self.decider.why = before.why
        await self._deeds.start()

    async def _heed_wish(self) -> None:
        """Where it belongs, if it was told."""
        wish: str | None = await self._runtime.log.read(lambda reader: places.preferred(reader))
        self.decider.prefer(wish or self._own)

    def _on_server_event(self, message: Message) -> None:
        if message.subject.endswith("CONNECT") and b'"kind":"Leafnode"' in message.data:
            self.uplink.looked = float("-inf")
            self.uplink.news.set()
            self._wake.set()

    def _on_answer(self, place: str) -> None:
        """A server is there: whoever looks for another place has one."""
        if place != self.decider.at:
            self._wake.set()

    async def run(self) -> None:
        """Works for ever."""
        following = asyncio.create_task(self._follow(), name="follow planned moves")
        try:
            await self._work()
        finally:
            following.cancel()
            await self._senses.probes.close()

    async def _follow(self) -> None:
        """A planned move is a command to the shim `tier`, which leaves its word in the log."""
        after = await self._runtime.log.read(lambda reader: reader.last_row())
        async for _ in self._runtime.log.follow(after=after, types=(PREFERRED,)):
            await self._heed_wish()
            self._wake.set()

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            again: float | None = 1.0
            try:
                order = self.decider.decide(await self._senses.facts())
                self._tend_relay()
                await self._deeds.carry_out(order)
                again = order.again
            except (OteError, StoreError) as error:
                logger.error("the link could not be looked after; trying again", error=str(error))
            await self._pause(again)

    def _tend_relay(self) -> None:
        """Those whose links pass through this tier look for another way when it has lost its own."""
        relay = self._runtime.relay
        is_there = self.uplink.route.relation == "parent" and self.uplink.link is not None
        if relay is not None and relay.carried and not is_there:
            logger.warning("the links of siblings are let go", links=relay.carried)
            relay.let_go()

    async def _pause(self, again: float | None) -> None:
        if again is None:
            quiet = time.monotonic() - max(self._pulse.heard, self._asker.heard)
            again = max(0.01, min(LOOK, self._pulse.silence - quiet))
        with suppress(TimeoutError):
            async with asyncio.timeout(again):
                await self._wake.wait()

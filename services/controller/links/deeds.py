"""What is done about a tier's way up: it is moved, its link is made anew, its server is started again.

A move is a hot reload of the server with another url; the tier says itself where it is as soon as it was heard there.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import structlog

from bus import paths, subjects
from bus.errors import Unavailable
from bus.event import Draft, Event
from bus.types import ATTACHED
from leafnodes.server import NatsServer
from services.controller.asker import Asker
from services.controller.links.decider import Decider, Order
from services.controller.links.kin import Kin
from services.controller.links.pulse import Pulse
from services.controller.links.uplink import Uplink
from services.controller.links.visit import Visit
from services.tier import places
from services.tier.places import Route
from services.tier.runtime import Runtime
from store.api import Tx

logger = structlog.get_logger()

#: What is sent while the ways through the tree change may be missed by the first look: there is a second.
SECOND_LOOK = 0.2
#: How long a move usually takes at most (seconds).
QUICK = 0.1


class Deeds:
    """Carries out what the decider orders."""

    def __init__(
        self,
        runtime: Runtime,
        server: NatsServer,
        asker: Asker,
        kin: Kin,
        pulse: Pulse,
        uplink: Uplink,
        visit: Visit,
        decider: Decider,
    ) -> None:
        self._runtime = runtime
        self._server = server
        self._asker = asker
        self._kin = kin
        self._pulse = pulse
        self._uplink = uplink
        self._visit = visit
        self._decider = decider
        self._own = paths.parent(runtime.path)
        self._under_way = False
        #: (host, the sibling by way of which) that this tier has named last as where it is, and the life of its log in
        #: which it did.
        self._said: tuple[str, str | None] = (self._own or "", None)
        self._said_in = ""

    async def start(self) -> None:
        """Takes up what was said before."""
        said = await self._runtime.log.read(places.whereabouts)
        row = await self._runtime.log.read(lambda reader: reader.cluster(self._runtime.path))
        if said is not None and row is not None and row.moved[1]:
            self._said, self._said_in = (said.attached_to, said.via), said.epoch
            self._visit.said(*row.moved)
        await self._pulse.listen(self._uplink.route.host)

    async def carry_out(self, order: Order) -> None:
        """Unavailable where the server refuses."""
        if order.move is not None:
            await self._move(order.move, order.why)
        elif order.reload:
            logger.warning("the link is made anew", why=order.why)
            await self._server.relink()
        elif order.restart:
            logger.warning("the server is started again", why=order.why)
            await self._server.restart()
        elif self._decider.settled and self._uplink.place(self._kin.routes) == self._decider.at:
            await self._say_where()
            self._arrive()

    def _arrive(self) -> None:
        """What was sent while it moved is asked for now, and once more when all above know the new way."""
        if self._under_way:
            self._under_way = False
            self._asker.wake()
            asyncio.get_running_loop().call_later(SECOND_LOOK, self._asker.wake)

    async def _move(self, place: str, why: str) -> None:
        logger.warning("moving", to=place, why=why)
        route = self._kin.routes.get(place)
        if route is None:
            raise Unavailable(f"{place} is no tier to which this one could attach")
        if self._said[0] != self._own and self._uplink.path is not None:
            await self._visit.goodbye(self._said[0])
        self._uplink.route, self._uplink.moved = route, time.monotonic()
        self._under_way = True
        self._uplink.news.clear()
        self._visit.begin()
        await self._pulse.listen(route.host)
        await self._attach(route)
        await self._until_linked(place)
        self._asker.moved()

    async def _attach(self, route: Route) -> None:
        dial = places.dialled(self._runtime.settings, route)
        await self._server.attach(dial.url, level=dial.level, at=dial.at)

    async def _until_linked(self, place: str) -> None:
        """Most moves are done within milliseconds: what was missed is asked for as soon as the link is there."""
        with suppress(TimeoutError):
            async with asyncio.timeout(QUICK):
                await self._uplink.look()
                while self._uplink.place(self._kin.routes) != place:
                    await self._uplink.news.wait()
                    self._uplink.news.clear()
                    await self._uplink.look()

    async def _say_where(self) -> None:
        """Its own word on where it is, when that has changed: all above know from it who judges this tier. A life of
        its log begins at its parent. A host at which it only knocked, and went on, may have told of it as well."""
        host, via = self._uplink.route.host, self._uplink.via
        self._runtime.via = via
        is_said = self._said_in == self._runtime.log.epoch or (host, via) == (self._own, None)
        is_said = is_said and self._visit.asked in (None, host)
        if (host, via) == self._said and is_said:
            return
        data = {"path": self._runtime.path, "attached_to": host, "parent": self._own, "why": self._decider.why}
        data |= {"via": via} if via is not None else {}
        draft = Draft(type=ATTACHED, subject=subjects.event(ATTACHED, self._runtime.path), data=data)

        def op(tx: Tx[Event]) -> Event:
            return tx.append(draft)

        event = await self._runtime.log.write(op)
        logger.warning("attached", to=host, via=via, why=self._decider.why)
        self._said, self._said_in = (host, via), event.epoch
        self._visit.said(event.epoch, event.seq or 0)
        if host != self._own:
            # From here on the host can say, and is believed, that this tier is gone.
            await self._visit.ask(host)

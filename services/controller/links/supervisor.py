"""The supervisor of a tier's way up: gathers the facts, lets the decider decide, and does as it says.

Facts are the link as the tier's own server has it, the pulse of the tier at its other end and the answers of those
above through it, and what a probe of the addresses finds. Nothing is asked as long as the pulse is heard; the server
tells at once when the link breaks.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass

import msgpack
import structlog
from pydantic import ValidationError

from bus import paths, subjects
from bus.client import Message
from bus.errors import OteError, Unavailable
from bus.event import Draft, Event, now
from bus.types import ATTACHED, PREFERRED
from leafnodes.config import address_of, at_address
from leafnodes.monitor import LeafLink
from leafnodes.probe import NEVER, PATIENCE, Probe, probe
from leafnodes.server import NatsServer
from services.controller.asker import Asker
from services.controller.links.decider import Decider, Facts, Order
from services.controller.links.guests import Knock, Welcome
from services.controller.links.kin import Kin
from services.controller.links.pulse import Pulse, interval
from services.tier import places
from services.tier.runtime import Runtime
from store.api import Tx
from store.errors import StoreError

logger = structlog.get_logger()

#: How long probes may hold up a decision, and how old what they found may be (seconds).
GLANCE, FRESH = 0.1, 2.0
#: The link is looked at so often although all is well.
LOOK = 5.0
#: A guest leaves a host that says for so long that it reaches nobody itself.
CUT_OFF = 5.0
#: What is sent while the ways through the tree change may be missed by the first look: there is a second.
SECOND_LOOK = 0.2
#: How long a move usually takes at most, and between two looks whether it is done (seconds).
QUICK, TINY = 0.1, 0.002


@dataclass(slots=True)
class Uplink:
    """The link that is, or None, and how often there was a new one."""

    link: LeafLink | None = None
    since: str = ""
    reconnects: int = -1

    @property
    def path(self) -> str | None:
        """The tier at its other end."""
        return self.link.path if self.link is not None else None

    def see(self, link: LeafLink | None) -> None:
        """What the server has now."""
        if (link.id if link else None) != (self.link.id if self.link else None):
            self.since = now()
            self.reconnects += link is not None
        self.link = link


class Supervisor:
    """Keeps a tier attached to somebody who answers."""

    def __init__(self, runtime: Runtime, server: NatsServer, asker: Asker, kin: Kin, pulse: Pulse) -> None:
        settings = runtime.settings
        own = paths.parent(runtime.path)
        assert own is not None and settings.parent is not None
        self._runtime = runtime
        self._server = server
        self._asker = asker
        self._kin = kin
        self._pulse = pulse
        self._url = settings.parent
        self._reach = settings.reach_of
        self._wake = asyncio.Event()
        self._probing: dict[str, asyncio.Task[None]] = {}
        self._moved = float("-inf")
        self._under_way = False
        self._looked = float("-inf")
        self._said: str | None = None
        self._knock = Knock(path=runtime.path, instance=runtime.instance)
        self._knocked = float("-inf")
        self._admitted = True
        self.uplink = Uplink()
        self._own = own
        self.decider = Decider(own, settings.fallback_after)
        self.probes: dict[str, Probe] = {}

    async def start(self) -> None:
        """Listens to the server and to the parent."""
        await self._runtime.bus.subscribe(subjects.server_events(), self._on_server_event)
        await self._pulse.listen(self._own)
        await self._heed_wish()
        row = await self._runtime.log.read(lambda reader: reader.cluster(self._runtime.path))
        if row is not None and row.moved[1]:
            self._said, self._knock = row.attached_to, self._known(*row.moved)

    async def _heed_wish(self) -> None:
        """Where it belongs, if it was told."""
        wish: str | None = await self._runtime.log.read(lambda reader: places.preferred(reader))
        self.decider.prefer(wish or self._own)

    def _on_server_event(self, message: Message) -> None:
        if message.subject.endswith("CONNECT") and b'"kind":"Leafnode"' in message.data:
            self._looked = float("-inf")
            self._wake.set()

    async def run(self) -> None:
        """Works for ever."""
        following = asyncio.create_task(self._follow(), name="follow planned moves")
        try:
            await self._work()
        finally:
            following.cancel()
            for task in self._probing.values():
                task.cancel()
            await asyncio.gather(*self._probing.values(), return_exceptions=True)

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
                order = self.decider.decide(await self._facts())
                await self._carry_out(order)
                again = order.again
            except (OteError, StoreError) as error:
                logger.error("the link could not be looked after; trying again", error=str(error))
            await self._pause(again)

    async def _pause(self, again: float | None) -> None:
        if again is None:
            quiet = time.monotonic() - max(self._pulse.heard, self._asker.heard)
            again = max(0.01, min(LOOK, self._pulse.silence - quiet))
        with suppress(TimeoutError):
            async with asyncio.timeout(again):
                await self._wake.wait()

    # -- facts -------------------------------------------------------------------------------------

    async def _facts(self) -> Facts:
        decider = self.decider
        await self._look(LOOK if decider.settled else 0.0)
        linked = self.uplink.path
        answered = linked == decider.at and await self._answered()
        parent = self._parent_state()
        if not answered or decider.at != decider.home or parent == "drained":
            await self._probe()
        fresh = time.monotonic() - FRESH
        return Facts(
            now=time.monotonic(),
            linked=linked,
            answered=answered,
            alternates=[path for path in self._places() if path != decider.home],
            health={path: found.health for path, found in self.probes.items() if found.at > fresh},
            parent=parent,
        )

    def _parent_state(self) -> str | None:
        """How the tier where it belongs is in the eyes of others: they tell of its own parent only."""
        if self._pulse.host_drained and self.decider.at == self.decider.home:
            return "drained"
        return self._asker.parent_state if self.decider.home == self._own else None

    def _places(self) -> dict[str, str]:
        """Where it could attach, and at which address, its own parent first."""
        others = {one.path: self._reach.get(one.path, one.leaf) for one in self._kin.alternates}
        return {self._own: address_of(self._url), **others}

    async def _look(self, age: float) -> None:
        if time.monotonic() - self._looked < age:
            return
        try:
            links = await self._server.leafz()
        except Unavailable:
            links = []
        self._looked = time.monotonic()
        self.uplink.see(next((link for link in links if link.to_parent), None))

    async def _answered(self) -> bool:
        """Whether somebody above was heard since the last move, and not long ago."""
        if self.decider.at != self._own and not await self._stays():
            return False
        if self._heard():
            return True
        # What was found before it fell silent says nothing of it.
        self.probes.pop(self.decider.at, None)
        self._begin_probes()
        before = self.uplink.link.in_bytes if self.uplink.link is not None else 0
        patience = max(0.1, interval(self._runtime.settings.heartbeat))
        if await self._asker.reaches(patience):
            return True
        # What is on its way in fills the link: then it is slow, not hung.
        await self._look(0.0)
        return self.uplink.link is not None and self.uplink.link.in_bytes > before > 0

    def _heard(self) -> bool:
        heard = self._asker.heard
        if self.decider.settled or self.decider.at == self._own:
            heard = max(heard, self._pulse.heard)
        return heard > max(self._moved, time.monotonic() - self._pulse.silence)

    async def _stays(self) -> bool:
        """Whether the host lets this tier stay, and reaches others itself."""
        cut_off = self._pulse.cut_off_since
        if cut_off is not None and time.monotonic() - cut_off > CUT_OFF:
            return False
        if time.monotonic() - self._knocked >= self._runtime.settings.heartbeat:
            self._knocked = time.monotonic()
            await self._ask_to_stay(self._knock)
        return self._admitted

    async def _ask_to_stay(self, knock: Knock) -> None:
        subject = subjects.guest(self.decider.at, self._runtime.path)
        try:
            message = await self._runtime.bus.request(subject, msgpack.packb(knock.model_dump()), timeout=1.0)
            answer = Welcome.model_validate(msgpack.unpackb(message.data))
        except (OteError, ValueError, ValidationError, msgpack.UnpackException):
            # A host that says nothing is judged by its pulse.
            self._knocked = float("-inf") if not self.decider.settled else self._knocked
            return
        if not answer.admitted and not knock.leaving:
            logger.warning("not let in", host=self.decider.at, reason=answer.reason)
            self.decider.refused(time.monotonic())
        self._admitted = answer.admitted

    # -- probes ------------------------------------------------------------------------------------

    async def _probe(self) -> None:
        """Looks at all places at once; who does not answer soon is left to answer later."""
        self._begin_probes()
        if self._probing:
            await asyncio.wait(self._probing.values(), timeout=GLANCE)

    def _begin_probes(self) -> None:
        oldest = time.monotonic() - FRESH / 2 if self.decider.settled else time.monotonic() - GLANCE / 2
        for path, address in self._places().items():
            if path not in self._probing and self.probes.get(path, NEVER).at < oldest:
                task = asyncio.create_task(self._probe_one(path, address), name=f"probe {path}")
                self._probing[path] = task

    async def _probe_one(self, path: str, address: str) -> None:
        try:
            self.probes[path] = await probe(address, PATIENCE)
        finally:
            del self._probing[path]

    # -- deeds -------------------------------------------------------------------------------------

    async def _carry_out(self, order: Order) -> None:
        if order.move is not None:
            await self._move(order.move, order.why)
        elif order.reload:
            logger.warning("the link is made anew", why=order.why)
            await self._server.attach(None)
            await self._attach(self.decider.at)
        elif order.restart:
            logger.warning("the server is started again", why=order.why)
            await self._server.restart()
        elif self.decider.settled and self.uplink.path == self.decider.at:
            await self._say_where()
            self._arrive()

    def _arrive(self) -> None:
        """What was sent while it moved is asked for now, and once more when all above know the new way."""
        if self._under_way:
            self._under_way = False
            self._asker.wake()
            asyncio.get_running_loop().call_later(SECOND_LOOK, self._asker.wake)

    async def _move(self, path: str, why: str) -> None:
        logger.warning("moving", to=path, why=why)
        if self._said not in (None, self._own) and self.uplink.path is not None:
            await self._say_goodbye()
        self._moved, self._under_way = time.monotonic(), True
        self._knocked, self._admitted = float("-inf"), True
        await self._pulse.listen(path)
        await self._attach(path)
        await self._until_linked(path)
        self._asker.moved()

    async def _until_linked(self, path: str) -> None:
        """Most moves are done within milliseconds: what was missed is asked for as soon as the link is there."""
        with suppress(TimeoutError):
            async with asyncio.timeout(QUICK):
                while self.uplink.path != path:
                    await self._look(0.0)
                    await asyncio.sleep(0 if self.uplink.path == path else TINY)

    async def _say_goodbye(self) -> None:
        left = self._knock.model_copy(update={"leaving": True})
        with suppress(Unavailable):
            self._runtime.bus.send(
                subjects.guest(self._said or "", self._runtime.path), msgpack.packb(left.model_dump())
            )
            await self._runtime.bus.flush()

    async def _attach(self, path: str) -> None:
        if path == self._own:
            await self._server.attach(self._url)
            return
        address = self._places().get(path)
        if address is None:
            raise Unavailable(f"{path} is no tier to which this one could attach")
        url = at_address(self._url, address)
        await self._server.attach(url, level=paths.depth(paths.Path(path)) + 1, at=path)

    async def _say_where(self) -> None:
        """Its own word on where it is, when that has changed: all above know from it who judges this tier."""
        at = self.decider.at
        if at == (self._said or self._own):
            return
        data = {"path": self._runtime.path, "attached_to": at, "parent": self._own, "why": self.decider.why}
        draft = Draft(type=ATTACHED, subject=subjects.event(ATTACHED, self._runtime.path), data=data)

        def op(tx: Tx[Event]) -> Event:
            return tx.append(draft)

        event = await self._runtime.log.write(op)
        logger.warning("attached", to=at, why=self.decider.why)
        self._said, self._knock = at, self._known(event.epoch, event.seq or 0)
        if at != self._own:
            # From here on the host can say, and is believed, that this tier is gone.
            await self._ask_to_stay(self._knock)

    def _known(self, epoch: str, seq: int) -> Knock:
        return self._knock.model_copy(update={"epoch": epoch, "seq": seq})

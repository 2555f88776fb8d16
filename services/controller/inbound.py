"""What comes in over the bus: mail from above, events from below.

All of it is recorded lazily, off the critical path: a copy on the way justifies nothing before it is
committed. Mail for this cluster goes through the receiver, and to the shims when its turn has come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import structlog

from bus import subjects
from bus.client import Message
from bus.errors import OteError
from bus.event import Draft, Event
from bus.paths import is_under
from bus.types import FORKED, MAIL, STORED, SUBMITTED
from services.controller import door
from services.controller.delivery import repair, target
from services.controller.delivery.receiver import Receiver, Verdict
from services.controller.floods import Floods
from services.controller.guard import Guard
from services.controller.hush import Hush
from services.tier.mail import Mail, is_first
from services.tier.outbox import Standing
from services.tier.runtime import Runtime, Signal
from store.api import Mailbox, Reader, Recorded
from store.errors import StoreError

logger = structlog.get_logger()


#: Copies that may wait for the log, and their bytes.
UNWRITTEN_LIMIT, UNWRITTEN_BYTES = 50_000, 64_000_000
#: When the log refused mail, it is offered again after this long (seconds).
RELOAD = 1.0


class Inbound:
    """`on_gap` is called when mail is missing that repair should bring at once."""

    def __init__(self, runtime: Runtime, on_gap: Callable[[], None], floods: Floods) -> None:
        self._runtime = runtime
        self._me = runtime.path
        self._on_gap = on_gap
        self.floods = floods
        self.guard = Guard(runtime)
        self._hush = Hush()
        self._receiver = Receiver(self._me, {})
        self._passed: list[str] = []
        self._reloading = False
        self._unwritten = self._unwritten_bytes = 0
        #: In which life the log of a neighbour is that has lost an earlier one; and of whom something of such an
        #: earlier life has come since: it may not know that it has said so.
        self.lives: dict[str, str] = {}
        self.late: set[str] = set()
        #: Events of others that were stored just now.
        self.stored: Signal[list[Event]] = Signal()

    async def start(self) -> None:
        """Takes up where the log stands, then listens."""
        runtime = self._runtime
        await self.guard.start()
        runtime.observed.connect(self._on_own)
        await self.load()
        heard = self.floods.gate(subjects.path_of_event, self._on_events)
        await runtime.bus.subscribe(subjects.events_below(self._me), heard)

    def waiting(self) -> int:
        """How much mail waits behind a gap."""
        return self._receiver.waiting()

    @property
    def unwritten(self) -> int:
        """How many copies wait for the log."""
        return self._unwritten

    async def load(self) -> None:
        """Sets the receiver to what is committed, and takes what is stored and was not received."""
        cursors = await self._runtime.log.read(lambda reader: reader.cursors())
        self._receiver = Receiver(self._me, cursors)
        await self.take_stored()

    async def take_stored(self) -> None:
        """Offers mail that is in the log beyond the cursors: after a start, and after a repair."""
        cursors = self._receiver.cursors()

        def read(reader: Reader[Event]) -> tuple[list[Event], dict[Mailbox, int]]:
            return repair.stored_mail(reader, self._me, cursors), reader.mail_floors(self._me)

        events, floors = await self._runtime.log.read(read)
        for event in events:
            self._receive(event)
        for box in sorted(box for box in floors if box.target == self._me):
            for mail in self._receiver.skip(box.origin, box.epoch, floors[box]):
                self._take(mail)

    def _on_own(self, events: list[Event]) -> None:
        for event in events:
            if event.source == self._me and event.type in MAIL:
                self._receive(event)

    def on_mail(self, message: Message) -> None:
        """Mail from above, for this cluster or for those below. While another may be the true owner of this
        path, it is left to repair."""
        if self._runtime.outbox.standing is not Standing.ADMITTED:
            return
        mail = [e for e in door.frame(message) if e.source != self._me and self._is_mail(e, message.subject)]
        mail = self.guard.believed(mail, message.subject)
        if mail:
            self.record(mail)
            for event in mail:
                self._receive(event)

    def _is_mail(self, event: Event, subject: str) -> bool:
        """What is for others is not ours to keep."""
        if event.type not in MAIL:
            logger.warning("not mail", subject=subject, id=event.id, source=event.source, type=event.type)
            return False
        return any(is_under(to.path, self._me) for to in event.to)

    def _on_events(self, message: Message) -> None:
        try:
            path = subjects.path_of_event(message.subject)
        except OteError as error:
            logger.warning("not a subject of events", error=error.message)
            return
        events = []
        for event in door.frame(message):
            if event.source == path:
                events.append(event)
            else:
                if times := self._hush.times(message.subject):
                    logger.warning("event of another source", subject=message.subject, source=event.source, times=times)
        events = self.guard.believed(events, message.subject)
        if events:
            self._runtime.observed.emit(events)
            self.record(events)

    def record(self, events: list[Event]) -> None:
        """Stores copies when it suits; says which commands passed when they are committed. QueueFull when the
        log does not keep up: what is dropped, repair brings when it does."""
        if self._unwritten > UNWRITTEN_LIMIT or self._unwritten_bytes > UNWRITTEN_BYTES:
            raise asyncio.QueueFull
        size = sum(len(event.body) for event in events)
        self._unwritten += len(events)
        self._unwritten_bytes += size
        # Mail of this cluster comes before its `received`; copies for others hold up nobody.
        mine = any(to.path == self._me for event in events for to in event.to)
        future = self._runtime.log.write(lambda tx: tx.record(events), keep=mine, lazy=mine, aside=not mine)
        future.add_done_callback(lambda done: self._recorded(done, len(events), size))

    def _recorded(self, done: asyncio.Future[Recorded[Event]], count: int, size: int) -> None:
        self._unwritten -= count
        self._unwritten_bytes -= size
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            logger.error("copies were not stored; repair brings them again", error=str(error))
            return
        self.after_record(done.result())

    def after_record(self, recorded: Recorded[Event]) -> None:
        """Reports forks, and tells those above which commands are stored here on their way down."""
        if recorded.forks:
            self.report(recorded.forks)
            # Who has said it may not know that two of him have.
            self.late |= {event.source for event in recorded.forks if event.source != self._me}
        if recorded.new:
            if self.lives:
                self.late |= {e.source for e in recorded.new if e.epoch < self.lives.get(e.source, "")}
            self.stored.emit(recorded.new)
        passed = [e.data["command"] for e in recorded.new if e.type == SUBMITTED and self._passes(e)]
        if not passed:
            return
        if not self._passed:
            asyncio.get_running_loop().call_soon(self._say_stored)
        self._passed.extend(passed)

    def greeted(self, neighbour: str, life: str) -> None:
        """A neighbour has said in which life its log is. What it said in an earlier one may come later."""
        if not is_first(life):
            self.lives[neighbour] = max(life, self.lives.get(neighbour, ""))
        self.late.discard(neighbour)

    def _passes(self, event: Event) -> bool:
        return not is_under(event.source, self._me) and any(
            to.path != self._me and is_under(to.path, self._me) for to in event.to
        )

    def _say_stored(self) -> None:
        commands, self._passed = list(dict.fromkeys(self._passed)), []
        draft = Draft(type=STORED, subject=subjects.event(STORED, self._me), data={"commands": commands})
        self._runtime.append_later(draft)

    def report(self, forks: Iterable[Event]) -> None:
        """Records events that have a place which is another's."""
        for event in forks:
            logger.error("fork: another event has this place", id=event.id, source=event.source, seq=event.seq)
            place = {"id": event.id, "source": event.source, "epoch": event.epoch, "seq": event.seq}
            draft = Draft(type=FORKED, subject=subjects.event(FORKED, self._me), data=place)
            self._runtime.append_later(draft)

    def _receive(self, event: Event) -> None:
        verdict, due = self._receiver.offer(event)
        for mail in due:
            self._take(mail)
        if verdict is Verdict.GAP:
            self._on_gap()
        elif verdict is Verdict.OLD_LIFE:
            logger.warning("mail of an earlier life of its origin", id=event.id, source=event.source)

    def _take(self, mail: Mail) -> None:
        future = self._runtime.log.write(lambda tx: target.accept(tx, mail), keep=True, lazy=True)
        future.add_done_callback(self._taken)
        self._runtime.mail.emit(mail)

    def _taken(self, done: asyncio.Future[None]) -> None:
        """Where it was not the next for the log, what is in memory is ahead: begin again from what is committed."""
        if done.cancelled() or done.exception() is None or self._reloading:
            return
        logger.error("mail was not received; it will be again", error=str(done.exception()))
        self._reloading = True
        self._runtime.spawn(self._reload(), "reload mail")

    async def _reload(self) -> None:
        while True:
            await asyncio.sleep(RELOAD)
            try:
                await self._runtime.log.flush()
                break
            except StoreError as error:
                logger.warning("the log is still not writable", error=str(error))
        self._reloading = False
        await self.load()

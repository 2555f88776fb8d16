"""The asking half of repair: what did I miss, and what do my ancestors lack (DESIGN 6.4).

A tier asks its nearest ancestor that answers: at once when the link comes up or mail is missing, else
every few seconds. Those farther up are asked more rarely: what they lack comes to them by the nearer.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from bus import paths, subjects
from bus.client import NoAnswer
from bus.errors import OteError, Unavailable
from bus.event import Event, now
from bus.sync import (
    Answer,
    AskFamily,
    AskHeld,
    AskHistory,
    AskMail,
    Asks,
    AskStreams,
    Compare,
    GiveBack,
    Hello,
    Ship,
    unpack_answer,
)
from services.controller import door
from services.controller.delivery import lives, positions, repair
from services.controller.inbound import Inbound
from services.controller.links.kin import Kin
from services.controller.pace import Pace
from services.controller.returns import Returns
from services.controller.volume import Volume
from services.tier.outbox import Standing
from services.tier.runtime import Runtime
from store.api import Mailbox, Reader, Recorded, Stream, Tx
from store.errors import StoreError

logger = structlog.get_logger()

#: How long a question without events may take: an answer that was lost with its link holds up repair for
#: so long (seconds).
TIMEOUT = 3.0
#: What is asked while the ways through the tree change may be lost, and so may its answer: asked again after this long.
AGAIN = 0.5
#: Positions in one ask: about 50 KB.
POSITIONS_LIMIT = 600
#: What an ancestor holds is recorded once in so many rounds.
CONFIRM_ROUNDS = 5
#: Farther ancestors are asked in one of so many rounds.
FAR_ROUNDS = 5
#: How often ancestors are tried while none answers, and while the parent does not but another (seconds).
RETRY, RETRY_FAR = 0.25, 1.0


#: Somebody who is told that something has happened.
Told = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Link:
    """What is known of the way to one ancestor: `state` is "up", "down" or "refused"; `ups` counts how often it
    came up."""

    path: str
    state: str = "down"
    since: str = field(default_factory=now)
    reason: str | None = None
    instance: str = ""
    #: in which life of its log, and of this one, it was greeted
    life: str = ""
    mine: str = ""
    ups: int = 0
    pace: Pace = field(default_factory=Pace)
    confirmed: dict[Stream, int] | None = None
    """What the log has recorded of what it holds; None before that was read."""
    helped: dict[Stream, tuple[int, int]] = field(default_factory=dict)
    """Of streams that were compacted below what it holds: (its seq, the one here) when it was sent all that is left."""
    recorded: float = -math.inf
    """When that was recorded last (monotonic)."""

    def turn(self, state: str, reason: str | None = None) -> bool:
        """True if that is news."""
        if (self.state, self.reason) == (state, reason):
            return False
        self.state, self.reason, self.since = state, reason, now()
        self.ups += state == "up"
        return True


@dataclass(frozen=True, slots=True)
class _Holdings:
    mail: dict[Mailbox, int]
    streams: dict[Stream, int]


class Asker:
    """Keeps this tier and its ancestors in step. `links` says how each ancestor stands, nearest first."""

    def __init__(self, runtime: Runtime, inbound: Inbound, renewed: Told, greeted: Told, kin: Kin) -> None:
        self._runtime = runtime
        self._kin = kin
        self._greeted = greeted
        self._renewed = renewed
        self._inbound = inbound
        self._me = runtime.path
        self._returns = Returns(runtime, inbound, self._ask_page, renewed)
        ancestors = paths.ancestors(paths.Path(runtime.path))
        self.links = self._returns.links = [Link(path) for path in ancestors]
        self._wake = asyncio.Event()
        self._round = 0
        self._under_way: asyncio.Task[bool] | None = None
        #: When an ancestor answered last (monotonic), and how the parent is as the nearest that answers sees it.
        self.heard = float("-inf")
        self._moved = False
        self.parent_state: str | None = None
        #: Whose links this tier passes on, as the parent says.
        self.carried: list[str] = []
        #: What repair has brought from above, and what it has carried there.
        self.taken, self.shipped = Volume(), Volume()

    @property
    def parent(self) -> Link | None:
        """The nearest ancestor; None at a root."""
        return self.links[0] if self.links else None

    def wake(self) -> None:
        """Something is missing: ask now."""
        self._wake.set()

    def moved(self) -> None:
        """This tier is attached elsewhere: nobody answers what was asked before."""
        self._moved = True
        if self._under_way is not None:
            self._under_way.cancel()
        self.wake()

    async def reaches(self, patience: float) -> bool:
        """Whether an ancestor answers within so many seconds."""
        nothing = AskHeld(epoch=self._epoch, buckets=[])
        asking = {asyncio.create_task(self._ask(link, nothing, patience), name="ping") for link in self.links}
        try:
            while asking:
                done, asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
                # Each is looked at: an error that nobody has seen is told as one of the program.
                if None in [task.exception() for task in done]:
                    return True
            return False
        finally:
            for task in asking:
                task.cancel()

    async def begin(self) -> None:
        """Before anything is said: a log that was lost begins another life."""
        await self._returns.begin()

    async def run(self) -> None:
        """Asks for ever."""
        while self.links:
            self._wake.clear()
            answered = await self._undisturbed()
            pause = self._runtime.settings.sync_interval
            if self.links[0].state == "down":
                pause = min(pause, RETRY_FAR) if answered else RETRY
            await self._pause(pause * random.uniform(0.8, 1.2))

    async def _pause(self, seconds: float) -> None:
        # Not `wait_for`, which forgets that it is cancelled where the event comes in the same moment.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _undisturbed(self) -> bool:
        """A round, unless it is cut short."""
        self._under_way = asyncio.create_task(self._ask_round(), name="ask")
        try:
            await asyncio.wait([self._under_way])
        finally:
            self._under_way.cancel()
        return not self._under_way.cancelled() and self._under_way.result()

    async def _ask_round(self) -> bool:
        """True if an ancestor answered."""
        self._round += 1
        answered = False
        for link in self.links:
            try:
                if not answered or not self._round % FAR_ROUNDS:
                    await self._sync(link, nearest=not answered)
                elif link.state != "up":
                    # Its clock decides what expires: that is learned at once, the rest can wait.
                    await self._greet(link)
                answered = True
            except Exception as error:
                _failed(link, error)
            if link.state == "refused":
                break
        return answered

    async def _sync(self, link: Link, nearest: bool) -> None:
        """One exchange with one ancestor: greet if it is new, compare, and mend what differs."""
        is_new = link.state != "up" or link.mine != self._epoch or link.path in self._inbound.late
        if is_new and not await self._greet(link):
            return
        if self._inbound.unwritten:
            # What came here a moment ago is no difference: the ancestor would send it a second time.
            with suppress(StoreError):
                await self._runtime.log.flush()
        mine = await self._holdings()
        mail, streams = positions.digests(mine.mail), positions.digests(mine.streams)
        ask = Compare(
            epoch=self._epoch,
            instance=self._runtime.instance,
            mail=positions.total(mail),
            streams=positions.total(streams),
        )
        answer = await self._ask_first(link, ask)
        if answer.instance != link.instance or answer.own != link.life:
            link.turn("down", "it asks to be greeted")
            self.wake()
            return
        if nearest:
            await self._hear_of_kin(link, answer)
        async with asyncio.TaskGroup() as group:
            if answer.mail_buckets is not None:
                buckets = positions.differing(mail, answer.mail_buckets)
                group.create_task(self._fetch(link, buckets), name=f"fetch {link.path}")
            if answer.stream_buckets is not None:
                buckets = positions.differing(streams, answer.stream_buckets)
                group.create_task(self._supply(link, buckets), name=f"supply {link.path}")
                same = positions.select(mine.streams, set(range(positions.BUCKETS)).difference(buckets))
            else:
                same = mine.streams
            await self._confirm(link, same)

    async def _hear_of_kin(self, link: Link, answer: Answer) -> None:
        """Where this tier could attach, when that has changed. Of its parent an ancestor farther up tells more."""
        self.parent_state = answer.parent_state
        if link is self.links[0]:
            self.carried = answer.carried
        if answer.family_digest not in (0, self._kin.family.digest):
            told = await self._ask(link, AskFamily(epoch=self._epoch))
            if told.family is not None:
                await self._kin.learn(told.family, link.path)

    @property
    def _epoch(self) -> str:
        return self._runtime.log.epoch

    async def _greet(self, link: Link) -> bool:
        # What came a moment ago counts, once it is committed.
        await self._runtime.log.flush()
        marks = await self._runtime.log.read(lambda reader: lives.marks_of(reader, link.path))
        hello = Hello(epoch=self._epoch, instance=self._runtime.instance, marks=marks)
        answer = await self._ask_first(link, hello)
        if answer.refused is not None:
            self._runtime.outbox.stand(Standing.REFUSED)
            if link.turn("refused", answer.refused):
                logger.error("refused", ancestor=link.path, reason=answer.refused)
            return False
        if not answer.own:
            # An ancestor of an earlier version shows no more than the latest life.
            await asyncio.shield(self._runtime.spawn(self._renew_above(answer.life), "renew"))
        self._inbound.greeted(link.path, answer.own)
        link.life = answer.own
        await self._returns.greeted(link, answer)
        link.instance, link.mine = answer.instance, self._epoch
        link.helped.clear()
        self._runtime.outbox.stand(Standing.ADMITTED)
        if link.turn("up"):
            logger.info("ancestor is there", ancestor=link.path)
            await self._greeted()
        return True

    def above(self) -> list[tuple[str, str]]:
        """All ancestors, each with the life of its log in which it was greeted ("" if it was not)."""
        return self._returns.above()

    def shown(self, life: str) -> None:
        """Somebody below has seen this life of this log."""
        if life > self._epoch and door.is_epoch(life):
            self._runtime.spawn(self._renew_above(life), "renew")

    async def _renew_above(self, above: str) -> None:
        """If others have seen a life of this log that is not here, it was lost, and this one comes after."""
        if above <= self._epoch or not door.is_epoch(above):
            return
        await self._runtime.log.write(lambda tx: lives.renew(tx, above, "lost"))
        logger.warning("the log of an earlier life is lost", lost=above, now=self._epoch)
        await self._renewed()

    async def _confirm(self, link: Link, held: dict[Stream, int]) -> None:
        """Records what an ancestor says that it holds: that, and no more, may be compacted away here. More of it can
        wait for a while; less of it, because the ancestor has lost something, is recorded at once."""
        known = link.confirmed
        if known is None:
            known = link.confirmed = await self._runtime.log.read(lambda reader: reader.confirmed(link.path))
        changed = {stream: n for stream, n in held.items() if known.get(stream, 0) != n}
        is_less = any(n < known.get(stream, 0) for stream, n in changed.items())
        pause = CONFIRM_ROUNDS * self._runtime.settings.sync_interval
        if not changed or not (is_less or time.monotonic() - link.recorded >= pause):
            return
        await self._runtime.log.write(lambda tx: tx.confirm(link.path, changed), aside=True)
        known.update(changed)
        link.recorded = time.monotonic()

    async def _holdings(self) -> _Holdings:
        def read(reader: Reader[Event]) -> _Holdings:
            return _Holdings(repair.mail_from_above(reader, self._me), repair.streams_from_below(reader, self._me))

        return await self._runtime.log.read(read)

    async def _ask_page(self, link: Link, ask: AskMail | Ship | AskStreams | AskHistory | GiveBack) -> Answer:
        begin = time.monotonic()
        try:
            answer = await self._ask(link, ask, link.pace.patience)
        except NoAnswer as error:
            if not error.no_responders:
                link.pace.lost()
            raise
        link.pace.went(time.monotonic() - begin)
        return answer

    async def _ask_first(self, link: Link, ask: Hello | Compare) -> Answer:
        """What an exchange begins with."""
        if self._moved or link.state != "up":
            try:
                answer = await self._ask(link, ask, AGAIN)
            except NoAnswer as error:
                if error.no_responders:
                    raise
            else:
                self._moved = False
                return answer
        return await self._ask(link, ask)

    async def _ask(self, link: Link, ask: Asks, timeout: float = TIMEOUT) -> Answer:
        subject = subjects.sync(paths.depth(paths.Path(link.path)), self._me)
        asked = datetime.now(UTC)
        message = await self._runtime.bus.request(subject, ask.pack(), timeout=timeout)
        answer = unpack_answer(message.data)
        if answer.error is not None:
            raise OteError(answer.error)
        if answer.echo != self._epoch:
            raise OteError("an answer to an earlier life of this log")
        self.heard = time.monotonic()
        self._runtime.clock.learn(link.path, answer.time, asked, datetime.now(UTC))
        return answer

    async def _fetch(self, link: Link, buckets: list[int]) -> None:
        """Mail from above, page by page, until nothing is missing or a page brings nothing new."""
        for part in await self._parts(buckets):
            while True:
                # What was pushed meanwhile, and is not yet committed, need not travel again.
                await self._runtime.log.flush()
                held = positions.select((await self._holdings()).mail, part)
                known = [(*box, n) for box, n in held.items()]
                ask = AskMail(epoch=self._epoch, buckets=part, held=known, limit=link.pace.size)
                answer = await self._ask_page(link, ask)
                floors = repair.floors_above(answer.floors, self._me)
                # What was begun is finished, whatever becomes of the link.
                taking = self._runtime.spawn(self._take(answer.events, floors), "take mail")
                if not await asyncio.shield(taking) or not answer.more:
                    break

    async def _parts(self, buckets: list[int]) -> list[list[int]]:
        """The buckets in groups whose positions fit one message."""
        held = (await self._holdings()).mail
        parts: list[list[int]] = [[]]
        size = 0
        for bucket in buckets:
            count = len(positions.select(held, [bucket]))
            if parts[-1] and size + count > POSITIONS_LIMIT:
                parts.append([])
                size = 0
            parts[-1].append(bucket)
            size += count
        return parts

    async def _take(self, bodies: list[bytes], floors: dict[Mailbox, int]) -> int:
        """Stores what an ancestor answered; returns how much of it was new."""
        if not bodies and not floors:
            return 0
        events = repair.relevant(door.sound(bodies, "repair"), self._me)
        events = self._inbound.guard.believed(events, "repair")
        # What was pushed meanwhile was passed on already.
        await self._runtime.log.flush()

        def op(tx: Tx[Event]) -> Recorded[Event]:
            recorded = tx.record(events)
            if floors:
                tx.skip({}, floors)
            return recorded

        recorded = await self._runtime.log.write(op)
        self._runtime.skips += bool(floors)
        self.taken.add(len(recorded.new))
        self._inbound.after_record(recorded)
        await self._inbound.take_stored()
        # What came late goes on at once to those below, who would else wait for their next ask.
        # What stands for other mail goes first: where both come, the body is not carried out on the way.
        self._runtime.outbox.push(sorted(recorded.new, key=lambda event: not event.supersedes))
        return len(recorded.new) + len(floors)

    async def _supply(self, link: Link, buckets: list[int]) -> None:
        """Ships what the ancestor lacks of the streams in these buckets."""
        answer = await self._ask(link, AskHeld(epoch=self._epoch, buckets=buckets))
        theirs = {Stream(source, epoch): held for source, epoch, held in answer.held}
        mine = positions.select((await self._holdings()).streams, buckets)
        known = await self._runtime.log.read(lambda reader: reader.floors(self._me))
        floors = {stream: n for stream, n in known.items() if stream in mine and theirs.get(stream, 0) < n}
        wants = [
            (stream, after)
            for stream, after in repair.lacking(mine, theirs)
            if link.helped.get(stream) != (after, mine[stream])
        ]
        await self._ship_ahead(link, wants, sum(mine[stream] - held for stream, held in wants))
        under_way: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            while wants:
                size = link.pace.size
                page = await self._runtime.log.read(lambda reader: repair.shipment(reader, wants, size))  # noqa: B023
                under_way.add(group.create_task(self._ship(link, page), name=f"ship to {link.path}"))
                while len(under_way) >= link.pace.at_once:
                    _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        # Only the source says what will not come of a stream, when all that it has left is there: it keeps more than
        # those who carry its events, and what comes later and is below the floor is a double.
        gone = [(*stream, n) for stream, n in floors.items() if stream.source == self._me]
        for start in range(0, len(gone), POSITIONS_LIMIT):
            await self._ask(link, Ship(epoch=self._epoch, events=[], floors=gone[start : start + POSITIONS_LIMIT]))
        more = {stream: n for stream, n in theirs.items() if n > mine.get(stream, 0)}
        if any(stream.source == self._me for stream in more):
            await self._runtime.log.write(lambda tx: lives.count_as(tx, link.path, link.life, more))
        await self._come_around(link, more, mine)
        link.helped.update((stream, (theirs.get(stream, 0), mine[stream])) for stream in floors)
        await self._confirm(link, {stream: theirs.get(stream, 0) for stream in mine})

    async def _come_around(self, link: Link, more: dict[Stream, int], mine: dict[Stream, int]) -> None:
        """Events of clusters below that are, or were, attached elsewhere: they came to the ancestor by another way."""
        wanted = [stream for stream in more if stream.source != self._me][:POSITIONS_LIMIT]
        while wanted:
            held = [(*stream, mine.get(stream, 0)) for stream in wanted]
            answer = await self._ask_page(link, AskStreams(epoch=self._epoch, held=held, limit=link.pace.size))
            taking = self._runtime.spawn(self._take_around(answer.events), "take events")
            if not await asyncio.shield(taking) or not answer.more:
                break
            mine = (await self._holdings()).streams

    async def _take_around(self, bodies: list[bytes]) -> int:
        """Stores what came by another way; returns how much of it was new."""
        events = [event for event in door.sound(bodies, "repair") if self._is_below(event.source)]
        events = self._inbound.guard.believed(events, "repair")
        if not events:
            return 0
        recorded = await self._runtime.log.write(lambda tx: tx.record(events))
        self.taken.add(len(recorded.new))
        self._inbound.after_record(recorded)
        self._runtime.observed.emit(recorded.new)
        return len(recorded.new)

    def _is_below(self, source: str) -> bool:
        return source != self._me and paths.is_under(source, self._me)

    async def _ship_ahead(self, link: Link, wants: list[tuple[Stream, int]], missing: int) -> None:
        urgent = await self._runtime.log.read(lambda reader: repair.ahead(reader, self._me, wants, missing))
        for page in repair.pages(urgent, link.pace.size):
            await self._ship(link, page)

    async def _ship(self, link: Link, page: repair.Page) -> None:
        if page.events:
            await self._ask_page(link, Ship(epoch=self._epoch, events=page.bodies()))
            self.shipped.add(len(page.events))


def _failed(link: Link, error: BaseException) -> None:
    """The next round tries again, whatever it was: repair must outlive every surprise."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, Unavailable):
        if link.state != "refused" and link.turn("down"):
            logger.warning("ancestor is away", ancestor=link.path, error=str(error))
    elif isinstance(error, OteError):
        logger.error("sync failed", ancestor=link.path, error=str(error))
    else:
        logger.error("sync failed", ancestor=link.path, exc_info=error)

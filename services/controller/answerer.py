"""The answering half of repair: a path ancestor answers from what it holds committed (DESIGN 6.4)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog

from bus import paths, subjects
from bus.client import Message
from bus.errors import OteError
from bus.event import Event, now
from bus.paths import is_under
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
    unpack_ask,
)
from services.controller import door
from services.controller.delivery import lives, positions, repair
from services.controller.floods import Floods
from services.controller.hush import Hush
from services.controller.inbound import Inbound
from services.controller.intake import Intake
from services.controller.links.kin import Kin
from services.controller.returns import take_back
from services.controller.volume import Volume
from services.tier.mail import is_first
from services.tier.runtime import Runtime
from store.api import Mailbox, Reader, Recorded, Stream
from store.errors import StoreError

logger = structlog.get_logger()

#: Questions of one asker that are answered at once; a well-meaning one has less on its way.
MOST_OF_ONE = 64

#: Decides on a newcomer: (path, hello) -> why it is refused, or None.
Admit = Callable[[str, Hello], Awaitable[str | None]]
#: All ancestors, each with the life of its log in which it was greeted.
Above = Callable[[], list[tuple[str, str]]]
#: Whose links a child passes on.
Carried = Callable[[str], list[str]]
#: Whether this instance is the one that has the path: (path, instance). Who is not has to say hello.
Knows = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class _Digests:
    row: int
    skips: int
    mail: list[int]
    streams: list[int]


class Answerer:
    """Answers those below on `ote.sync.<depth>.>`."""

    def __init__(
        self,
        runtime: Runtime,
        inbound: Inbound,
        admit: Admit,
        knows: Knows,
        carried: Carried,
        shown: Callable[[str], None],
        above: Above,
        kin: Kin,
        renewed: Callable[[], Awaitable[None]],
        floods: Floods,
    ) -> None:
        self._runtime = runtime
        self._kin = kin
        self._knows = knows
        self._carried = carried
        self._shown = shown
        self._above = above
        self._renewed = renewed
        self._floods = floods
        self._inbound = inbound
        self._admit = admit
        self._digests: dict[str, _Digests] = {}
        #: Who asks how far this log is.
        self._asking: dict[str, asyncio.Future[_Digests]] = {}
        self._looking = asyncio.Lock()
        self._hush = Hush()
        self._intake = Intake()
        #: How many questions of each are being answered.
        self._busy: Counter[str] = Counter()
        #: What repair has brought from below, and what it has carried there.
        self.taken, self.shipped = Volume(), Volume()

    async def start(self) -> None:
        """Listens."""
        heard = self._floods.gate(subjects.path_of_sync, self._on_ask)
        await self._runtime.bus.subscribe(subjects.syncs_to(paths.Path(self._runtime.path)), heard)

    def _on_ask(self, message: Message) -> None:
        try:
            asker = subjects.path_of_sync(message.subject)
        except OteError as error:
            self._refuse(message, error.message)
            return
        if self._busy[asker] >= MOST_OF_ONE:
            self._refuse(message, f"{self._runtime.path} answers {MOST_OF_ONE} questions of {asker} already")
            return
        self._busy[asker] += 1
        self._runtime.spawn(self._answer(message, asker), "answer a sync")

    def _refuse(self, message: Message, why: str) -> None:
        if times := self._hush.times(message.subject):
            logger.warning("a sync is refused", subject=message.subject, error=why[:200], times=times)
        message.respond(self._blank("").model_copy(update={"error": why}).pack())

    async def _answer(self, message: Message, asker: str) -> None:
        try:
            try:
                ask = unpack_ask(message.data)
            except OteError as error:
                self._refuse(message, error.message)
            else:
                message.respond((await self._answer_to(asker, ask)).pack())
        finally:
            self._busy[asker] -= 1
            if not self._busy[asker]:
                del self._busy[asker]

    async def _answer_to(self, asker: str, ask: Asks) -> Answer:
        """The answer, or the error in its place."""
        try:
            return await self._reply(asker, ask)
        except OteError as error:
            return self._blank(ask.epoch).model_copy(update={"error": error.message})
        except StoreError as error:
            logger.error("a sync failed", asker=asker, kind=ask.kind, error=str(error))
            return self._blank(ask.epoch).model_copy(update={"error": f"at {self._runtime.path}: {error}"})
        except Exception:
            logger.exception("a sync failed", asker=asker, kind=ask.kind)
            return self._blank(ask.epoch).model_copy(update={"error": "internal error: the log of this tier has it"})

    def _blank(self, echo: str) -> Answer:
        return Answer(echo=echo, own=self._runtime.log.epoch, time=now(), instance=self._runtime.instance)

    async def _reply(self, asker: str, ask: Asks) -> Answer:
        blank = self._blank(ask.epoch)
        if isinstance(ask, Hello):
            return blank.model_copy(update=await self._greet(asker, ask))
        if isinstance(ask, Compare):
            if not self._knows(asker, ask.instance) or asker in self._inbound.late:
                return blank.model_copy(update={"instance": ""})
            return blank.model_copy(update=await self._compare(asker, ask))
        if isinstance(ask, AskMail):
            return blank.model_copy(update=await self._mail(asker, ask))
        if isinstance(ask, AskHeld):
            return blank.model_copy(update=await self._held(asker, ask))
        if isinstance(ask, AskStreams):
            return blank.model_copy(update=await self._streams(asker, ask))
        if isinstance(ask, AskHistory):
            return blank.model_copy(update=await self._history(asker, ask))
        if isinstance(ask, GiveBack):
            return blank.model_copy(update=await self._taken_back(asker, ask))
        if isinstance(ask, AskFamily):
            return blank.model_copy(update={"family": self._kin.told(asker)[0]})
        return blank.model_copy(update=await self._shipped(asker, ask))

    async def _greet(self, asker: str, ask: Hello) -> dict[str, object]:
        if (refused := await self._admit(asker, ask)) is not None:
            return {"refused": refused}
        # What came a moment ago counts, once it is committed.
        if self._inbound.unwritten:
            await self._runtime.log.flush()
        if is_first(ask.epoch):
            # Who has lost something asks for it first: then nothing is late.
            self._inbound.greeted(asker, ask.epoch)
        return await self._runtime.log.read(lambda reader: _greeting(reader, asker, ask))

    async def _history(self, asker: str, ask: AskHistory) -> dict[str, object]:
        """What is here of the asker's own, that it has lost."""
        self._inbound.greeted(asker, ask.epoch)
        if self._inbound.unwritten:
            await self._runtime.log.flush()
        held = {Stream(source, epoch): n for source, epoch, n in ask.held}
        page, row = await self._runtime.log.read(lambda reader: lives.beyond(reader, asker, held, ask.after, ask.limit))
        if page.events:
            self.shipped.add(len(page.events))
        return {"events": page.bodies(), "more": page.more, "row": row}

    async def _taken_back(self, asker: str, ask: GiveBack) -> dict[str, object]:
        """What this log has lost of its own, and somebody below has."""
        events = self._inbound.guard.believed(door.sound(ask.events, asker), f"what {asker} gives back")
        before = self._runtime.log.epoch
        taken = await take_back(self._runtime, events, asker, ask, self._above())
        self.taken.add(len(taken.new))
        self._inbound.after_record(Recorded(taken.new, forks=taken.forks[:1]))
        if self._runtime.log.epoch != before:
            logger.warning("another life of the log begins", shown_by=asker, was=before)
            await self._renewed()
        return {}

    async def _compare(self, asker: str, ask: Compare) -> dict[str, object]:
        mine = await self._digests_for(asker)
        return {
            "mail_buckets": None if positions.total(mine.mail) == ask.mail else mine.mail,
            "stream_buckets": None if positions.total(mine.streams) == ask.streams else mine.streams,
            "family_digest": self._kin.told(asker)[1],
            "parent_state": self._kin.state_of_parent(asker),
            "carried": self._carried(asker),
        }

    async def _digests_for(self, asker: str) -> _Digests:
        if not self._asking:
            self._runtime.spawn(self._look(), "answer compares")
        waiting = self._asking[asker] = self._asking.get(asker) or asyncio.get_running_loop().create_future()
        return await waiting

    async def _look(self) -> None:
        """One look at the log for all who have asked: those below are many, and ask often."""
        async with self._looking:
            # Whoever asks from here on is answered from the next one.
            asked, self._asking = self._asking, {}
            skips = self._runtime.skips
            try:
                # Who asks may have lost what passed here a moment ago, and is not yet committed.
                if self._inbound.unwritten:
                    await self._runtime.log.flush()
                known = self._digests
                found = await self._runtime.log.read(
                    lambda reader: {asker: _digests(reader, asker, known.get(asker), skips) for asker in asked}
                )
            except Exception as error:
                for waiting in asked.values():
                    if not waiting.done():
                        waiting.set_exception(error)
            else:
                self._digests.update(found)
                for asker, waiting in asked.items():
                    if not waiting.done():
                        waiting.set_result(found[asker])

    async def _mail(self, asker: str, ask: AskMail) -> dict[str, object]:
        me = self._runtime.path
        self._shown(max((epoch for origin, epoch, _, _ in ask.held if origin == me), default=""))
        held = {Mailbox(origin, epoch, target): n for origin, epoch, target, n in ask.held}
        page = await self._runtime.log.read(
            lambda reader: repair.answer_mail(reader, asker, ask.buckets, held, ask.limit)
        )
        if page.events:
            self.shipped.add(len(page.events))
        return {
            "events": page.bodies(),
            "floors": [(*box, number) for box, number in page.floors.items()],
            "more": page.more,
        }

    async def _held(self, asker: str, ask: AskHeld) -> dict[str, object]:
        mine = await self._runtime.log.read(lambda reader: repair.streams_from_below(reader, asker))
        return {"held": [(*stream, n) for stream, n in positions.select(mine, ask.buckets).items()]}

    async def _streams(self, asker: str, ask: AskStreams) -> dict[str, object]:
        """Events of clusters below the asker that came here by another way."""
        theirs = {Stream(source, epoch): n for source, epoch, n in ask.held if is_under(source, asker)}
        page = await self._runtime.log.read(lambda reader: repair.came_around(reader, asker, theirs, ask.limit))
        if page.events:
            self.shipped.add(len(page.events))
        return {"events": page.bodies(), "more": page.more}

    async def _shipped(self, asker: str, ask: Ship) -> dict[str, object]:
        """Stores what was shipped; the answer after the last commit is the acknowledgement."""
        floors = repair.floors_below(ask.floors, asker)
        # Up to a floor nothing comes any more: what is on the same page comes first.
        await self._intake.take(asker, ask.events, partial(self._taken_in, asker))
        if floors:
            await self._runtime.log.write(lambda tx: tx.skip(floors, {}))
            self._runtime.skips += 1
        return {}

    async def _taken_in(self, asker: str, bodies: list[bytes]) -> None:
        events = repair.admissible(door.sound(bodies, asker), asker)
        events = self._inbound.guard.believed(events, f"repair of {asker}")
        if not events:
            return
        recorded = await self._runtime.log.write(lambda tx: tx.record(events), long=True)
        self.taken.add(len(recorded.new))
        self._inbound.after_record(recorded)
        self._runtime.observed.emit(recorded.new)


def _greeting(reader: Reader[Event], asker: str, ask: Hello) -> dict[str, object]:
    """What is known here of the asker's log, and what this one may have lost that the asker has."""
    marks = lives.marks_of(reader, asker)
    answer: dict[str, object] = {"marks": marks, "life": marks[0].epoch if marks else ""}
    shown = lives.look_at(reader, ask.marks)
    if (after := lives.asked_from(reader, shown, asker, ask.epoch)) is not None:
        held = lives.held_of(reader, shown)
        answer |= {"lost": [(*stream, n) for stream, n in held.items()], "row": after}
    return answer


def _digests(reader: Reader[Event], asker: str, known: _Digests | None, skips: int) -> _Digests:
    """Positions move only when rows are added, or missing ones are skipped: the digests of an idle log are kept."""
    row = reader.last_row()
    if known is not None and (known.row, known.skips) == (row, skips):
        return known
    mail = positions.digests(repair.mail_from_above(reader, asker))
    return _Digests(row, skips, mail, positions.digests(repair.streams_from_below(reader, asker)))

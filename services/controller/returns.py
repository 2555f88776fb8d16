"""What tiers give back to each other of their logs when they greet (DESIGN 6.8).

Who greets an ancestor is shown what that holds of its own log. If a part of it is lost here, this life of the log
ends, and what the ancestor has is fetched before anything else is done; and the ancestor gets back what it asks for of
its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from bus.event import Event
from bus.sync import Answer, AskHistory, GiveBack
from bus.types import OBSERVED, RECEIVED, STARTED, SUCCEEDED
from services.controller import door
from services.controller.delivery import lives
from services.controller.delivery.lives import Returned, Shown
from services.controller.inbound import Inbound
from services.tier.runtime import Runtime
from store.api import Reader, Recorded, Stream, Tx

if TYPE_CHECKING:
    from services.controller.asker import Link

logger = structlog.get_logger()

Ask = Callable[["Link", AskHistory | GiveBack], Awaitable[Answer]]
Told = Callable[[], Awaitable[None]]
#: What the host of the shims has to hear of: what was done, and what may have to be.
OF_INTEREST = frozenset({OBSERVED, SUCCEEDED, RECEIVED, STARTED})


class Returns:
    """The asking half; `links` are the ways to all ancestors."""

    def __init__(self, runtime: Runtime, inbound: Inbound, ask: Ask, renewed: Told) -> None:
        self._runtime = runtime
        self._inbound = inbound
        self._ask = ask
        self._renewed = renewed
        self.links: Sequence[Link] = []

    async def begin(self) -> None:
        """What the marker outside the log has said: this life ends before anything is written in it."""
        lost = self._runtime.lost
        if lost is not None:
            await self._runtime.log.write(lambda tx: lives.restored(tx, lost))
            logger.warning("the log was restored, cut short or lost: another life of it begins", lost=lost.epoch)
        if not self._runtime.depth:
            self._runtime.history.set()

    async def greeted(self, link: Link, answer: Answer) -> None:
        """Heeds what an ancestor has shown and asked for."""
        shown = await self._runtime.log.read(lambda reader: lives.look_at(reader, answer.marks))
        await asyncio.shield(self._runtime.spawn(self._renew(shown, link.path), "renew"))
        if answer.own:
            await self._fetch(link, shown)
            if answer.lost is not None:
                held = {Stream(source, epoch): n for source, epoch, n in answer.lost}
                await self._give_back(link, held, answer)
        self._runtime.history.set()

    async def _renew(self, shown: Shown, by: str) -> None:
        def op(tx: Tx[Event]) -> bool:
            if shown.mark is None or not lives.is_over(tx, shown):
                return False
            lives.renew(tx, shown.mark.epoch, shown.verdict.value, by)
            return True

        if shown.mark is not None and await self._runtime.log.write(op):
            logger.warning("another life of the log begins", why=shown.verdict.value, shown_by=by)
            await self._renewed()

    async def _fetch(self, link: Link, shown: Shown) -> None:
        """This log's own history, page by page."""

        def read(reader: Reader[Event]) -> tuple[dict[Stream, int], int | None, str]:
            after = lives.asked_from(reader, shown, link.path, link.life)
            return lives.held_of(reader, shown), after, reader.epoch

        held, after, epoch = await self._runtime.log.read(read)
        if after is None:
            return
        told: list[Event] = []
        forks: list[Event] = []
        more = True
        while more:
            ask = AskHistory(
                epoch=self._runtime.log.epoch,
                held=[(*stream, n) for stream, n in held.items()],
                after=after,
                limit=link.pace.size,
            )
            answer = await self._ask(link, ask)
            sound = door.sound(answer.events, "history")
            events = self._inbound.guard.believed(sound, f"history of {link.path}")
            taken = await self._runtime.log.write(lambda tx: lives.take_back(tx, events, link.path))  # noqa: B023
            told += [event for event in taken.new if event.type in OF_INTEREST]
            forks += taken.forks
            after, more = answer.row, answer.more
            self._inbound.after_record(Recorded(taken.new))
        if told:
            self._runtime.returned.emit(told)
        await self._end(link, forks, after, epoch)

    def above(self) -> list[tuple[str, str]]:
        """All ancestors, each with the life of its log in which it was greeted ("" if it was not)."""
        return [(link.path, link.life) for link in self.links]

    async def _end(self, link: Link, forks: Sequence[Event], row: int, asked: str) -> None:
        above = self.above()

        def op(tx: Tx[Event]) -> None:
            lives.retell(tx, forks)
            lives.settle(tx, link.path, link.life, row, asked)
            lives.give_up(tx, above)

        await self._runtime.log.write(op)
        self._runtime.skips += 1
        if forks:
            # One word for all: it is one fork.
            self._inbound.report(forks[:1])

    async def _give_back(self, link: Link, held: Mapping[Stream, int], asked: Answer) -> None:
        """The mail of an ancestor that has lost some of it."""
        after, more = asked.row, True
        while more:
            page, after = await self._runtime.log.read(
                lambda reader: lives.beyond(reader, link.path, held, after, link.pace.size)  # noqa: B023
            )
            given = GiveBack(
                epoch=self._runtime.log.epoch,
                events=page.bodies(),
                row=after,
                life=asked.own,
                instance=asked.instance,
            )
            await self._ask(link, given)
            more = page.more


async def take_back(
    runtime: Runtime, events: Sequence[Event], giver: str, back: GiveBack, above: Sequence[tuple[str, str]]
) -> Returned:
    """The answering half: what somebody below gives back, up to a row of its log. What is missing before it is given up
    where all `above` have answered already."""
    is_asked = back.instance in ("", runtime.instance)

    def op(tx: Tx[Event]) -> Returned:
        asked = back.life or tx.epoch
        taken = lives.take_back(tx, events, giver)
        if is_asked:
            lives.settle(tx, giver, back.epoch, back.row, asked)
        if above:
            lives.give_up(tx, above)
        return taken

    taken = await runtime.log.write(op)
    runtime.skips += 1
    return taken

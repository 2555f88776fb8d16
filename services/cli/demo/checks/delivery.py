"""Each command once and in order at each of its targets, by what the target itself said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from bus.event import Event
from bus.types import FINALS, IN_DOUBT, RECEIVED, STARTED, SUBMITTED
from services.cli.demo.books import Books, Pair, Slot, slots_of
from services.cli.demo.checks.finding import Finding, ranges

#: (origin, epoch, target)
Box = tuple[str, str, str]

LOST = "nothing acknowledged is lost"
ONCE = "each command once"
ORDER = "in order per origin"


@dataclass(slots=True)
class Story:
    """What a target said of one command, in its order."""

    received: list[Event] = field(default_factory=list)
    started: list[Event] = field(default_factory=list)
    finals: list[Event] = field(default_factory=list)

    @property
    def settled(self) -> list[Event]:
        """The finals that end it; `in-doubt` waits for a person."""
        return [event for event in self.finals if event.type != IN_DOUBT]


def stories(books: Books) -> dict[Pair, Story]:
    """What every target said of every command."""
    told: dict[Pair, Story] = defaultdict(Story)
    kinds = {RECEIVED: "received", STARTED: "started", **dict.fromkeys(FINALS, "finals")}
    for source, events in books.said.items():
        for event in events:
            if (kind := kinds.get(event.type)) is not None:
                getattr(told[Pair(event.data["command"], source)], kind).append(event)
    return told


def lost(books: Books, acknowledged: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    """Commands that were answered with `accepted` for these targets, and are not in the log of their origin."""
    for command, targets in acknowledged.items():
        for target in targets:
            if Pair(command, target) not in books.pairs:
                yield Finding(LOST, target, f"command {command} was acknowledged and is in no log")


def once(books: Books, told: Mapping[Pair, Story], *, settled: bool) -> Iterator[Finding]:
    """Commands that a target did not end, ended twice, or was never sent."""
    for pair in told.keys() - books.pairs:
        yield Finding(ONCE, pair.target, f"command {pair.command} was never sent there")
    covered = _covered_pairs(books)
    for pair in books.pairs:
        story = told.get(pair) or Story()
        for what in _faults(story, settled=settled, covered=pair in covered):
            yield Finding(ONCE, pair.target, f"command {pair.command} {what}")


def _covered_pairs(books: Books) -> frozenset[Pair]:
    return frozenset(Pair(cover.command, cover.path) for event in books.mail for cover in event.supersedes)


def _faults(story: Story, *, settled: bool, covered: bool) -> Iterator[str]:
    if len(story.received) > 1:
        yield f"was received {len(story.received)} times"
    if len(story.settled) > 1:
        yield f"ended {len(story.settled)} times: {', '.join(FINALS[event.type] for event in story.settled)}"
    if settled and not story.settled:
        yield "is in doubt" if story.finals else "was received and has not ended" if story.received else "never came"
    # Each start after the first one was asked for by a person, who had found it in doubt.
    if len(story.started) > 1 + len(story.finals) - len(story.settled):
        yield f"was started {len(story.started)} times"
    if story.finals and not story.received and not covered:
        yield "ended without having been received"
    if story.finals and story.received and _place(story.finals[0]) < _place(story.received[0]):
        yield "ended before it was received"


def _place(event: Event) -> tuple[str, int]:
    return event.epoch, event.seq or 0


def order(books: Books) -> Iterator[Finding]:
    """Mailboxes whose numbers are not dense and unique, or were not received one after the other."""
    for (origin, epoch, target), numbers in _sent(books).items():
        if sorted(numbers) != list(range(1, len(numbers) + 1)):
            yield Finding(ORDER, origin, f"the numbers for {target} ({epoch}) are {ranges(numbers)}, not 1 to n")
    orders = frozenset(slot for event in books.mail if event.type == SUBMITTED for slot in slots_of(event))
    for (origin, epoch, target), numbers in _received(books).items():
        if numbers != sorted(numbers):
            yield Finding(ORDER, target, f"received from {origin} ({epoch}) in the order {numbers}")
        passed = {Slot(origin, epoch, target, number) for number in set(range(1, max(numbers))) - set(numbers)}
        if left := (passed & orders) - books.covered:
            over = ranges(slot.number for slot in left)
            yield Finding(ORDER, target, f"mail {over} of {origin} ({epoch}) was passed over")


def _sent(books: Books) -> Mapping[Box, list[int]]:
    """The numbers in each mailbox, those of which only a tombstone is left included."""
    sent: dict[Box, list[int]] = defaultdict(list)
    for event in books.mail:
        for slot in slots_of(event):
            sent[slot[:3]].append(slot.number)
    for slot in books.covered:
        if slot.number not in sent[slot[:3]]:
            sent[slot[:3]].append(slot.number)
    return sent


def _received(books: Books) -> Mapping[Box, list[int]]:
    """The numbers that each target received from each mailbox, in its order."""
    origins = {event.id: event for event in books.mail}
    received: dict[Box, list[int]] = defaultdict(list)
    for target, events in books.said.items():
        for event in events:
            if event.type == RECEIVED and (mail := origins.get(event.cause or "")) is not None:
                received[mail.source, mail.epoch, target].append(event.data["number"])
    return received


def counts(books: Books, told: Mapping[Pair, Story]) -> dict[str, int]:
    """How much there was."""
    finals = [story.settled[0] for story in told.values() if story.settled]
    states = {FINALS[kind]: sum(event.type == kind for event in finals) for kind in FINALS}
    return {
        "commands": len(books.commands),
        "deliveries": len(books.pairs),
        **{state: count for state, count in states.items() if count},
        "mailboxes": len(_sent(books)),
    }

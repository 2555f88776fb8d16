"""What a set of logs holds, read once and laid side by side.

Each log is read in one transaction, so that what is said of it was true at one moment. Logs of a tree in
which nothing is under way agree; while tiers still talk to each other they need not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from bus.errors import NotFound
from bus.event import Event, checksum
from bus.paths import is_under
from bus.types import MAIL, SUBMITTED
from store.api import Reader, Stream, TargetRow
from store.sql import open_log

PAGE = 1000


class Pair(NamedTuple):
    """A command at one of its targets."""

    command: str
    target: str


class Slot(NamedTuple):
    """One number of a mailbox."""

    origin: str
    epoch: str
    target: str
    number: int


@dataclass(frozen=True)
class Book:
    """One tier's log: its events in the order of rows, its targets and objects as its projections have them."""

    path: str
    events: list[Event]
    targets: dict[Pair, TargetRow]
    objects: list[dict[str, Any]]

    @cached_property
    def ids(self) -> frozenset[str]:
        """The ids of all its events."""
        return frozenset(event.id for event in self.events)

    @cached_property
    def streams(self) -> dict[Stream, dict[int, Event]]:
        """The shared events, by source and life, and seq."""
        found: dict[Stream, dict[int, Event]] = {}
        for event in self.events:
            if event.seq is not None:
                found.setdefault(Stream(event.source, event.epoch), {})[event.seq] = event
        return found

    @cached_property
    def covered(self) -> frozenset[Slot]:
        """The numbers for which an event here stands."""
        return frozenset(slot for event in self.events for slot in covers_of(event))


@dataclass(frozen=True)
class Books:
    """The logs of a tree, by path."""

    books: dict[str, Book]

    def __iter__(self) -> Iterator[Book]:
        return iter(self.books.values())

    def at_or_above(self, path: str) -> list[Book]:
        """The logs of the tiers that this path is at or below."""
        return [book for book in self if is_under(path, book.path)]

    @cached_property
    def mail(self) -> list[Event]:
        """All that was written into mailboxes, wherever it is."""
        found = {event.id: event for book in self for event in book.events if event.type in MAIL}
        return sorted(found.values(), key=lambda event: (event.source, event.epoch, event.seq or 0))

    @cached_property
    def streams(self) -> dict[Stream, dict[int, Event]]:
        """All that anybody holds of each stream; of two events for one place, the one in the lowest log."""
        found: dict[Stream, dict[int, Event]] = {}
        for book in sorted(self, key=lambda book: len(book.path)):
            for stream, events in book.streams.items():
                found.setdefault(stream, {}).update(events)
        return found

    @cached_property
    def said(self) -> dict[str, list[Event]]:
        """What each source said, in its order."""
        found: dict[str, list[Event]] = {}
        for stream in sorted(self.streams):
            events = self.streams[stream]
            found.setdefault(stream.source, []).extend(events[seq] for seq in sorted(events))
        return found

    @cached_property
    def commands(self) -> dict[str, Event]:
        """The first event of each command."""
        return {event.data["command"]: event for event in reversed(self.mail) if event.type == SUBMITTED}

    @cached_property
    def pairs(self) -> frozenset[Pair]:
        """Every command at every cluster that it was sent to, also where only its tombstone is left."""
        return frozenset(pair for event in self.mail for pair in pairs_of(event))

    @cached_property
    def covered(self) -> frozenset[Slot]:
        """The numbers for which a later event stands, wherever it is."""
        return frozenset(slot for book in self for slot in book.covered)


def pairs_of(event: Event) -> Iterator[Pair]:
    """The commands and targets that mail is about."""
    if event.type == SUBMITTED:
        yield from (Pair(event.data["command"], to.path) for to in event.to)
    yield from (Pair(cover.command, cover.path) for cover in event.supersedes if cover.command)


def slots_of(event: Event) -> Iterator[Slot]:
    """The mailbox numbers that mail has."""
    return (Slot(event.source, event.epoch, to.path, to.number) for to in event.to)


def covers_of(event: Event) -> Iterator[Slot]:
    """The mailbox numbers that it stands for."""
    return (Slot(event.source, event.epoch, cover.path, cover.number) for cover in event.supersedes)


async def read_books(logs: Mapping[str, str | Path]) -> Books:
    """Reads the logs (files by path); tiers may be at work on them. NotFound if a file is not there."""
    known: dict[bytes, Event] = {}

    def decode(body: bytes) -> Event:
        # Most events are in several logs, and are kept once.
        mark = checksum(body)
        return known.get(mark) or known.setdefault(mark, Event.decode(body))

    _must_exist(logs)
    books = {}
    for path, file in logs.items():
        async with open_log(file, source=path, decode=decode) as log:
            books[path] = await log.read(_read)
    return Books(books)


def _must_exist(logs: Mapping[str, str | Path]) -> None:
    """Opening a log that is not there would make one."""
    for path, file in logs.items():
        if not Path(file).exists():
            raise NotFound(f"there is no log of {path}: {file}", field="logs")


def _read(reader: Reader[Event]) -> Book:
    events: list[Event] = []
    after = 0
    while page := reader.events(after=after, limit=PAGE):
        events += (stored.event for stored in page)
        after = page[-1].row
    targets: dict[Pair, TargetRow] = {}
    for command in dict.fromkeys(pair.command for event in events if event.type in MAIL for pair in pairs_of(event)):
        targets.update((Pair(command, row.target), row) for row in _targets(reader, command))
    return Book(reader.source, events, targets, reader.objects())


def _targets(reader: Reader[Event], command: str) -> Iterable[TargetRow]:
    after = ""
    while page := reader.targets(command, after=after, limit=PAGE):
        yield from page
        after = page[-1].target

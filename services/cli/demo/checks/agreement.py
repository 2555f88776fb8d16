"""All logs agree on the sets that they share (DESIGN section 5).

A tier holds every event whose source is at or below it, and every command with an addressee in its
subtree, or the later event that stands for its number there; and whoever holds one holds the same bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from bus.paths import is_under
from bus.types import FORKED
from services.cli.demo.books import Book, Books, slots_of
from services.cli.demo.checks.finding import Finding, ranges
from store.api import Stream

AGREE = "all logs agree"


def agreement(books: Books) -> Iterator[Finding]:
    """What is missing where, what differs, what was forked."""
    yield from _same_bytes(books)
    for book in books:
        yield from _streams(books, book)
        yield from _mail(books, book)
        forks = sum(event.type == FORKED and event.source == book.path for event in book.events)
        if forks:
            yield Finding(AGREE, book.path, f"{forks} events claimed a place that was taken: they are in quarantine")


def _same_bytes(books: Books) -> Iterator[Finding]:
    for book in books:
        for stream, events in book.streams.items():
            truth = books.streams[stream]
            differing = [seq for seq, event in events.items() if event.checksum != truth[seq].checksum]
            if differing:
                yield Finding(AGREE, book.path, f"{_name(stream)} {ranges(differing)} has other bytes than elsewhere")


def _streams(books: Books, book: Book) -> Iterator[Finding]:
    for stream, events in books.streams.items():
        if not is_under(stream.source, book.path):
            continue
        missing = events.keys() - book.streams.get(stream, {}).keys()
        if missing:
            yield Finding(AGREE, book.path, f"{_name(stream)} {ranges(missing)} is missing")
        if book.path == stream.source and (holes := set(range(1, max(events) + 1)) - events.keys()):
            yield Finding(AGREE, book.path, f"{_name(stream)} has holes at {ranges(holes)}")


def _mail(books: Books, book: Book) -> Iterator[Finding]:
    """Mail travels downwards: what comes from below is among the streams."""
    missing: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for event in books.mail:
        if event.id in book.ids or not is_under(book.path, event.source):
            continue
        for slot in slots_of(event):
            if is_under(slot.target, book.path) and slot not in book.covered:
                missing[slot[:3]].append(slot.number)
    for (origin, epoch, target), numbers in missing.items():
        what = f"mail {ranges(numbers)} of {origin} ({epoch}) for {target} is missing"
        yield Finding(AGREE, book.path, what)


def _name(stream: Stream) -> str:
    return f"{stream.source} ({stream.epoch})"

"""Every result is known above with the times that its target gave it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bus.paths import is_under
from bus.types import FINALS
from services.cli.demo.books import Books, Pair
from services.cli.demo.checks.delivery import Story
from services.cli.demo.checks.finding import Finding

TIMES = "all result times original"
ALONE = "what is cut off goes on by itself"


@dataclass(frozen=True, slots=True)
class Outage:
    """The subtree `path` was cut off from `begin` to `end` (RFC 3339); in it, these commands were submitted."""

    path: str
    begin: str
    end: str
    commands: Sequence[str]


def times(books: Books, told: Mapping[Pair, Story]) -> Iterator[Finding]:
    """Where what a tier tells of a command at a target is not what the target said, and when."""
    for pair in books.pairs:
        story = told.get(pair)
        if story is None or not story.finals:
            continue
        final = story.settled[0] if story.settled else story.finals[0]
        said = (FINALS[final.type], final.time, story.received[0].time if story.received else None)
        for book in books.at_or_above(pair.target):
            row = book.targets.get(pair)
            known = (row.state, row.executed, row.delivered) if row else None
            if known != said:
                what = f"command {pair.command} at {pair.target} is {known} (state, executed, delivered), not {said}"
                yield Finding(TIMES, book.path, what)


def alone(books: Books, told: Mapping[Pair, Story], outages: Sequence[Outage]) -> Iterator[Finding]:
    """Commands from within an outage that were not carried out in it, or were known outside before its end."""
    for outage in outages:
        for pair in books.pairs:
            if pair.command in outage.commands and is_under(pair.target, outage.path):
                yield from _alone(books, told.get(pair) or Story(), pair, outage)


def _alone(books: Books, story: Story, pair: Pair, outage: Outage) -> Iterator[Finding]:
    final = story.settled[0] if story.settled else None
    if final is None or not outage.begin <= final.time <= outage.end:
        when = f"ended at {final.time}" if final else "did not end"
        yield Finding(ALONE, pair.target, f"command {pair.command} {when}, not between {outage.begin} and {outage.end}")
        return
    for book in books.at_or_above(outage.path):
        row = book.targets.get(pair)
        if book.path != outage.path and row is not None and row.observed is not None and row.observed < outage.end:
            what = f"command {pair.command} at {pair.target} was known at {row.observed}, before {outage.end}"
            yield Finding(ALONE, book.path, what)

"""Filing events in mailboxes, and allotting the numbers of this log's own."""

from __future__ import annotations

from typing import Protocol, TypeVar

from store.api import Entry
from store.paths import is_under
from store.projections.base import Table
from store.sql import queries
from store.sql.backend import Session
from store.sql.dense import Holes
from store.sql.records import BOXES, FILLS, Box, Fill
from store.sql.rows import SqlRows

R = TypeVar("R")

_WALK = 500


class Desk(Protocol):
    """What the mailroom needs of the ledger."""

    session: Session
    source: str

    def rows(self, table: Table[R]) -> SqlRows[R]: ...
    def spill(self) -> None: ...


class Mailroom:
    """The mailboxes of the targets at or below this tier."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._boxes = desk.rows(BOXES)
        self._fills = desk.rows(FILLS)
        self._holes = Holes()
        self._allotted: set[tuple[int, int]] = set()
        self._next_id: int | None = None

    def clear(self) -> None:
        """At the end of a transaction."""
        self._allotted.clear()

    def drop(self) -> None:
        """Forgets everything that is not in the file."""
        self._allotted.clear()
        self._holes.drop()
        self._next_id = None

    def allot(self, origin: str, epoch: str, target: str) -> int:
        """The next number of a mailbox of this log's own."""
        box = self._box(origin, epoch, target)
        box.top += 1
        self._boxes.put(box)
        self._allotted.add((box.id, box.top))
        return box.top

    def deliver(self, event: Entry, row: int) -> bool:
        """Files an event at the numbers of its addressees, and as cover where it stands for others. False if another
        has one of its numbers."""
        is_alone = True
        scope = self._desk.source
        to = [(a.path, a.number) for a in event.to if is_under(a.path, scope)]
        covers = [(c.path, c.number) for c in event.supersedes if is_under(c.path, scope)]
        self._boxes.load((event.source, event.epoch, path) for path, _ in (*to, *covers))
        for path, number in to:
            fill = self._fill(self._box(event.source, event.epoch, path), number)
            if fill.event is None:
                fill.event = row
                self._fills.put(fill)
            is_alone = is_alone and fill.event == row
        for path, number in covers:
            fill = self._fill(self._box(event.source, event.epoch, path), number)
            if fill.cover is None or (event.seq or 0) > (fill.cover_seq or 0):
                fill.cover, fill.cover_seq = row, event.seq or 0
                self._fills.put(fill)
        return is_alone

    def unfile(self, event: Entry, row: int) -> list[tuple[str, int]]:
        """Takes an event out of the mailboxes; returns the numbers (target, number) of which it was something."""
        scope = self._desk.source
        numbers = [(a.path, a.number) for a in event.to if is_under(a.path, scope)]
        covered = [(c.path, c.number) for c in event.supersedes if is_under(c.path, scope)]
        for path, number in (*numbers, *covered):
            box = self._boxes.get(event.source, event.epoch, path)
            fill = self._fills.get(box.id, number) if box is not None else None
            if fill is None:
                continue
            if fill.event == row:
                fill.event = None
            if fill.cover == row:
                fill.cover = fill.cover_seq = None
            if fill.event is None and fill.cover is None:
                self._fills.remove(fill.box, number)
            else:
                self._fills.put(fill)
        return [*numbers, *covered]

    def skip(self, origin: str, epoch: str, target: str, number: int) -> None:
        """What is missing up to this number of a mailbox will not come."""
        box = self._box(origin, epoch, target)
        self._holes.advance(box.id, box, number, lambda n: self._numbers_above(box, n))
        self._boxes.put(box)

    def _box(self, origin: str, epoch: str, target: str) -> Box:
        box = self._boxes.get(origin, epoch, target)
        if box is None:
            if self._next_id is None:
                # Boxes that are not in the file yet were made after this was asked.
                self._next_id = (self._desk.session.one(queries.LAST_BOX)[0] or 0) + 1
            box = Box(origin, epoch, target, self._next_id)
            self._next_id += 1
            self._boxes.put(box)
        return box

    def _fill(self, box: Box, number: int) -> Fill:
        """What is at a number, or an empty fill for a new one."""
        if number <= box.top and (box.id, number) not in self._allotted:
            known = self._fills.get(box.id, number)
            if known is not None:
                return known
            if number <= box.held:
                return Fill(box.id, number)  # what was there was compacted away
        self._holes.reach(box.id, box, number, lambda n: self._numbers_above(box, n))
        self._boxes.put(box)
        self._allotted.discard((box.id, number))
        return Fill(box.id, number)

    def _numbers_above(self, box: Box, number: int) -> list[int]:
        self._desk.spill()
        return [above for (above,) in self._desk.session.all(queries.NUMBERS_ABOVE, box.id, number, _WALK)]

"""The receiving end of the mailboxes of one cluster: one origin's mail starts in order, and once.

A number is compared with the cursor of its origin: the next one goes on, a lower one is a double, a
higher one shows a gap and waits until repair has filled it. A later life of an origin begins again at
1, and an earlier one is ignored from then on. The receiver is memory only: the cursor that counts is
in the log, moved in the transaction of `received`, and `Receiver` is loaded from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from bus.event import Event
from services.tier.mail import Mail
from store.api import Cursor

#: Mail that waits behind a gap, and its bytes, for each origin; what does not fit is brought again by repair.
WAITING_LIMIT, WAITING_BYTES = 10_000, 16_000_000


class Verdict(Enum):
    """What became of an offered event."""

    TAKEN = "taken"
    DOUBLE = "double"
    GAP = "gap"
    OLD_LIFE = "old life"
    NOT_MINE = "not mine"


@dataclass(slots=True)
class _Slot:
    event: Event | None = None
    cover: Event | None = None

    @property
    def weight(self) -> int:
        return len(self.event.body) if self.event is not None else 0


@dataclass(slots=True)
class _Box:
    cursor: Cursor
    slots: dict[int, _Slot] = field(default_factory=dict)
    weight: int = 0

    def slot(self, number: int) -> _Slot | None:
        if (found := self.slots.get(number)) is None and len(self.slots) < WAITING_LIMIT:
            found = self.slots[number] = _Slot()
        return found

    def put(self, number: int, event: Event) -> bool:
        """Keeps mail until its turn; False if there is no room. For the next in turn there always is."""
        is_next = number == self.cursor.number + 1
        if not is_next and self.weight + len(event.body) > WAITING_BYTES:
            return False
        slot = self.slots.setdefault(number, _Slot()) if is_next else self.slot(number)
        if slot is None:
            return False
        self.weight += len(event.body)
        slot.event = event
        return True

    def pop(self, number: int) -> _Slot | None:
        slot = self.slots.pop(number, None)
        self.weight -= slot.weight if slot is not None else 0
        return slot


class Receiver:
    """The mailboxes of the cluster `me`, one for each origin."""

    def __init__(self, me: str, cursors: Mapping[str, Cursor]) -> None:
        self._me = me
        self._boxes = {origin: _Box(cursor) for origin, cursor in cursors.items()}

    def cursors(self) -> dict[str, Cursor]:
        """How far mail was taken from each origin; the log's own cursors follow."""
        return {origin: box.cursor for origin, box in self._boxes.items()}

    def waiting(self) -> int:
        """How much mail waits behind a gap."""
        return sum(len(box.slots) for box in self._boxes.values())

    def offer(self, event: Event) -> tuple[Verdict, list[Mail]]:
        """Takes an event in, and returns all mail whose turn has come, in order."""
        box = self._boxes.get(event.source)
        if box is None:
            box = self._boxes[event.source] = _Box(Cursor(event.epoch, 0))
        if event.epoch < box.cursor.epoch:
            return Verdict.OLD_LIFE, []
        if event.epoch > box.cursor.epoch:
            box = self._boxes[event.source] = _Box(Cursor(event.epoch, 0))
        verdict = self._file(box, event)
        return verdict, self._due(box)

    def skip(self, origin: str, epoch: str, number: int) -> list[Mail]:
        """What is missing up to this number will not come: takes what is there, in order, and all that then is due."""
        box = self._boxes.get(origin)
        if box is None or box.cursor.epoch < epoch:
            box = self._boxes[origin] = _Box(Cursor(epoch, 0))
        if epoch < box.cursor.epoch or number <= box.cursor.number:
            return []
        due = []
        for n in sorted(n for n in box.slots if n <= number):
            slot = box.pop(n)
            assert slot is not None
            due.append(Mail(Cursor(epoch, n), slot.event, slot.cover))
        box.cursor = Cursor(epoch, number)
        return due + self._due(box)

    def _file(self, box: _Box, event: Event) -> Verdict:
        # What stands for earlier numbers goes first: they must not be carried out on the way.
        for cover in event.supersedes:
            if cover.path == self._me and cover.number > box.cursor.number and (slot := box.slot(cover.number)):
                slot.cover = event
        number = next((to.number for to in event.to if to.path == self._me), None)
        if number is None:
            return Verdict.NOT_MINE
        if number <= box.cursor.number:
            return Verdict.DOUBLE
        double = number in box.slots and box.slots[number].event is not None
        if not double and not box.put(number, event):
            return Verdict.GAP
        if number == box.cursor.number + 1 or box.cursor.number + 1 in box.slots:
            return Verdict.TAKEN
        return Verdict.DOUBLE if double else Verdict.GAP

    @staticmethod
    def _due(box: _Box) -> list[Mail]:
        due = []
        while (slot := box.pop(box.cursor.number + 1)) is not None:
            box.cursor = Cursor(box.cursor.epoch, box.cursor.number + 1)
            due.append(Mail(box.cursor, slot.event, slot.cover))
        return due

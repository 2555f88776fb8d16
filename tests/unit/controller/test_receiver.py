"""The receiver keeps so much behind a gap, and always takes what fills it."""

from __future__ import annotations

import pytest

from bus.event import Addressee, Draft, Event
from bus.types import SUBMITTED
from services.controller.delivery import receiver
from services.controller.delivery.receiver import Receiver, Verdict

ORIGIN, ME, EPOCH = "root", "root.a", "00000001.00000000000000aa"


def mail(number: int, padding: int = 0) -> Event:
    data = {"command": f"c{number}", "padding": "x" * padding}
    draft = Draft(type=SUBMITTED, subject="s", data=data, to=(Addressee(ME, number, ""),))
    return draft.seal(ORIGIN, EPOCH, number)


def taken(box: Receiver, *numbers: int) -> list[int]:
    return [due.cursor.number for number in numbers for due in box.offer(mail(number))[1]]


def test_what_fills_the_gap_is_taken_however_much_waits_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "WAITING_LIMIT", 5)
    box = Receiver(ME, {})
    assert taken(box, *range(2, 20)) == []
    assert box.waiting() == 5
    assert taken(box, 1) == [1, 2, 3, 4, 5, 6]
    # What had no room is brought again by repair.
    assert taken(box, *range(7, 20)) == list(range(7, 20))
    assert box.waiting() == 0


def test_what_waits_behind_a_gap_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "WAITING_BYTES", 10_000)
    box = Receiver(ME, {})
    for number in (2, 3, 4, 5):
        verdict, due = box.offer(mail(number, 4_000))
        assert (verdict, due) == (Verdict.GAP, [])
    assert box.waiting() == 2
    # A double of what waits takes no room.
    assert box.offer(mail(3, 4_000)) == (Verdict.DOUBLE, [])
    assert taken(box, 1) == [1, 2, 3]
    assert [due.cursor.number for number in (4, 5) for due in box.offer(mail(number, 50_000))[1]] == [4, 5]

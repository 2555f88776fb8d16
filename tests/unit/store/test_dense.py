"""Counting without holes."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from store.sql.dense import Holes


@dataclass
class Count:
    held: int = 0
    top: int = 0


class Members:
    """What is stored, and how often it was asked for."""

    def __init__(self, page: int = 3) -> None:
        self.stored: set[int] = set()
        self.position = Count()
        self.asked = 0
        self._page = page

    def add(self, holes: Holes, *numbers: int) -> tuple[int, int]:
        for number in numbers:
            holes.reach("key", self.position, number, self._above)
            self.stored.add(number)
        return self.position.held, self.position.top

    def _above(self, number: int) -> list[int]:
        self.asked += 1
        return sorted(n for n in self.stored if n > number)[: self._page]


@given(st.permutations(range(1, 12)), st.integers(0, 11), st.sets(st.integers(0, 10)))
def test_holds_what_is_dense_whenever_it_forgot(order: list[int], count: int, forgets: set[int]) -> None:
    holes, members = Holes(), Members()
    for n, number in enumerate(order[:count]):
        if n in forgets:
            holes.drop()
        assert holes.is_open("key", members.position, number) or members.position.top >= number
        members.add(holes, number)
        stored = members.stored
        assert members.position == Count(next(m for m in range(12) if m + 1 not in stored), max(stored))
        assert not any(holes.is_open("key", members.position, m) for m in stored)


def test_order_costs_no_question() -> None:
    holes, members = Holes(), Members()
    assert members.add(holes, *range(1, 100)) == (99, 99)
    assert members.asked == 0


def test_a_hole_that_is_filled_one_by_one_costs_no_question() -> None:
    holes, members = Holes(), Members()
    assert members.add(holes, 1, *range(50, 60)) == (1, 59)
    assert members.add(holes, *range(2, 50)) == (59, 59)
    assert members.asked == 0


def test_what_was_allotted_is_no_hole() -> None:
    holes, members = Holes(), Members()
    members.position.top = 1
    assert members.add(holes, 1) == (1, 1)
    assert members.asked == 0


def test_an_unknown_hole_is_not_called_open() -> None:
    holes, members = Holes(), Members()
    members.add(holes, 1, 5)
    assert holes.is_open("key", members.position, 3)
    holes.drop()
    assert not holes.is_open("key", members.position, 3)
    assert holes.is_open("key", members.position, 6)

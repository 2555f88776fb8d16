"""The pace of a link is found by trying, and comes back after trouble."""

from __future__ import annotations

from services.controller.pace import LONGEST, MOST_AT_ONCE, PATIENCE, SHORTEST, Pace


def test_a_quick_link_gets_long_pages_and_many_at_once() -> None:
    pace = Pace()
    for _ in range(20):
        pace.went(0.01)
    assert (pace.size, pace.at_once, pace.patience) == (LONGEST, MOST_AT_ONCE, PATIENCE)


def test_a_slow_link_gets_short_pages_one_by_one() -> None:
    pace = Pace()
    for _ in range(10):
        pace.went(2.5)
    assert (pace.size, pace.at_once) == (SHORTEST, 1)


def test_a_page_that_takes_its_time_changes_nothing() -> None:
    pace = Pace()
    before = (pace.size, pace.at_once)
    pace.went(1.0)
    assert (pace.size, pace.at_once) == before


def test_what_is_lost_again_and_again_gets_more_time_and_a_quick_page_ends_that() -> None:
    pace = Pace()
    for _ in range(6):
        pace.lost()
    assert pace.size == SHORTEST
    assert pace.patience > PATIENCE
    pace.went(0.1)
    assert pace.patience == PATIENCE
    assert pace.size > SHORTEST

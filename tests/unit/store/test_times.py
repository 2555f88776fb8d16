"""Durations, counted by upper bounds."""

from __future__ import annotations

from store.times import BOUNDS, Times


def test_each_is_counted_within_its_bound_and_all_above_it() -> None:
    times = Times()
    for seconds in (0.0, 0.001, 0.0011, 9.0):
        times.add(seconds)
    within = dict(times.within())
    assert within[0.00025] == 1
    assert within[0.001] == 2, "a bound is part of its bucket"
    assert within[0.0025] == within[5.0] == 3
    assert within[float("inf")] == 4
    assert times.total == 0.0021 + 9.0


def test_bounds_grow() -> None:
    assert [bound for bound, _ in Times().within()] == [*sorted(BOUNDS), float("inf")]

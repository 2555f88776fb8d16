"""The time at other clusters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bus.event import format_time
from services.tier.clock import Clock


def ahead(clock: Clock, path: str) -> int:
    return round((clock.now_at(path) - datetime.now(UTC)).total_seconds())


def learn(clock: Clock, path: str, seconds: int) -> None:
    here = datetime.now(UTC)
    clock.learn(path, format_time(here + timedelta(seconds=seconds)), here, here)


def test_who_has_not_answered_agrees_with_the_nearest_that_has() -> None:
    clock = Clock("root.a.x")
    assert ahead(clock, "root") == 0
    learn(clock, "root.a", 100)
    assert (ahead(clock, "root"), ahead(clock, "root.a"), ahead(clock, "root.a.x")) == (100, 100, 0)
    assert clock.offset("root") is None
    learn(clock, "root", 70)
    assert (ahead(clock, "root"), ahead(clock, "root.a"), ahead(clock, "root.a.x")) == (70, 100, 0)

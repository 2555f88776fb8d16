"""What time it is elsewhere. Clocks never order, de-duplicate or elect: they only end what expires."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bus.event import parse_time


class Clock:
    """Offsets of other clusters' clocks, learned from their answers. A path without an offset is taken
    to agree with this one."""

    def __init__(self) -> None:
        self._offsets: dict[str, timedelta] = {}

    def learn(self, path: str, theirs: str, asked: datetime, answered: datetime) -> None:
        """`theirs` is the other's time, read somewhere between `asked` and `answered` of ours."""
        self._offsets[path] = parse_time(theirs) - (asked + (answered - asked) / 2)

    def now_at(self, path: str) -> datetime:
        """The time at `path`, as far as it is known."""
        return datetime.now(UTC) + self._offsets.get(path, timedelta())

    def offset(self, path: str) -> float | None:
        """By how many seconds that clock is ahead; None if unknown."""
        offset = self._offsets.get(path)
        return None if offset is None else offset.total_seconds()

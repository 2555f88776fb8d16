"""What time it is elsewhere. Clocks never order, de-duplicate or elect: they only end what expires."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bus.event import parse_time


class Clock:
    """Offsets of the clocks of the clusters above `me`, learned from their answers. One that has not answered yet is
    taken to agree with the nearest to it that has, and only where none has, with this one."""

    def __init__(self, me: str) -> None:
        self._me = me
        self._offsets: dict[str, timedelta] = {}

    def learn(self, path: str, theirs: str, asked: datetime, answered: datetime) -> None:
        """`theirs` is the other's time, read somewhere between `asked` and `answered` of ours."""
        self._offsets[path] = parse_time(theirs) - (asked + (answered - asked) / 2)

    def now_at(self, path: str) -> datetime:
        """The time at `path`, which is `me` or above it, as far as it is known."""
        return datetime.now(UTC) + (timedelta() if path == self._me else self._known(path))

    def offset(self, path: str) -> float | None:
        """By how many seconds that clock is ahead; None if unknown."""
        offset = self._offsets.get(path)
        return None if offset is None else offset.total_seconds()

    def _known(self, path: str) -> timedelta:
        if path not in self._offsets and self._offsets:
            path = min(self._offsets, key=lambda known: abs(known.count(".") - path.count(".")))
        return self._offsets.get(path, timedelta())

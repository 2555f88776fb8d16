"""How long things took, counted by upper bounds: one more costs a search among a dozen numbers."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

#: Seconds.
BOUNDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Times:
    """Counts and the sum of durations. One thread adds, any may read."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        #: seconds, all together
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """One more took so long."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self._counts)

    def within(self) -> list[tuple[float, int]]:
        """For each bound, the last is infinity: how many took no longer."""
        return list(zip((*BOUNDS, float("inf")), accumulate(self._counts), strict=True))

"""How much goes over a link at once: found by trying, from 64 kbit/s to a local network.

A page that took long is followed by shorter ones, alone; pages that go quickly by longer ones, and by several
on their way at the same time. A page that was not answered in time counts as lost, and is asked for again.
"""

from __future__ import annotations

#: Bytes of events in one page.
SHORTEST, LONGEST = 2_000, 60_000
#: Pages on their way that are not answered.
MOST_AT_ONCE = 16
#: A page that takes less may grow, one that takes more shrinks (seconds).
QUICK, SLOW = 0.5, 2.0
#: How long an answer may take: an answer that was lost with its link holds up repair for so long (seconds).
PATIENCE, MOST_PATIENCE = 3.0, 60.0


class Pace:
    """The pace of one link. `size` is in bytes, `patience` in seconds, `at_once` in pages."""

    def __init__(self) -> None:
        self.size = LONGEST // 4
        self.at_once = 2
        self.patience = PATIENCE

    def went(self, seconds: float) -> None:
        """A page was answered."""
        if seconds < QUICK:
            self.size = min(LONGEST, self.size * 2)
            self.at_once = min(MOST_AT_ONCE, self.at_once + 1)
            self.patience = PATIENCE
        elif seconds > SLOW:
            self.size = max(SHORTEST, self.size // 2)
            self.at_once = 1

    def lost(self) -> None:
        """A page was not answered in time. One event alone may be longer than a page: it gets more time."""
        if self.size == SHORTEST:
            self.patience = min(MOST_PATIENCE, self.patience * 2)
        self.size = max(SHORTEST, self.size // 4)
        self.at_once = 1

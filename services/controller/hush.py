"""What a stranger can cause is logged seldom: who floods a tier with nonsense does not fill its disk."""

from __future__ import annotations

import time
from collections.abc import Hashable

#: What is said again and again is said once in so many seconds, and of so many things that is remembered.
QUIET, REMEMBERED = 10.0, 1000


class Hush:
    """Says when to speak; `times` is how often it happened since it was said last."""

    def __init__(self) -> None:
        self._said: dict[Hashable, tuple[float, int]] = {}

    def times(self, what: Hashable) -> int:
        """How often, if it is to be said now; else 0."""
        now = time.monotonic()
        last, count = self._said.get(what, (float("-inf"), 0))
        if now - last < QUIET:
            self._said[what] = last, count + 1
            return 0
        if len(self._said) >= REMEMBERED:
            self._said.clear()
        self._said[what] = now, 0
        return count + 1

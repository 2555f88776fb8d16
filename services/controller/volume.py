"""How much repair has carried."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Volume:
    """What went one way since the start: pages that held something, and the events in them."""

    pages: int = 0
    events: int = 0

    def add(self, events: int) -> None:
        """One more page."""
        self.pages += 1
        self.events += events

"""What a guest and its own parent have for each other, at the ancestor that both reach (DESIGN 7).

NATS passes nothing from one sibling's link to another's. What either says comes into the log of their common ancestor,
which pushes mail on to the guest, and tells the parent that there is something to ask for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping

from bus import paths, subjects, wire
from bus.errors import Unavailable
from bus.event import Event
from bus.paths import is_under
from bus.types import MAIL
from services.controller.registry import Registry
from services.tier.runtime import Runtime

#: What comes within so many seconds is told once.
GATHER = 0.02


class Relay:
    """Looks at what is new in this tier's log."""

    def __init__(self, runtime: Runtime, registry: Registry) -> None:
        self._runtime = runtime
        self._registry = registry
        self._told: set[str] = set()

    def see(self, events: Iterable[Event]) -> None:
        """Events of others that were stored just now."""
        guests = self._registry.snapshot.guests
        if not guests:
            return
        for event in events:
            self._tell(_bypassed(event.source, guests, self._runtime.path))
            if event.type in MAIL:
                for to in event.to:
                    if event.source in _bypassed(to.path, guests, self._runtime.path):
                        self._push(to.path, event)

    def _push(self, target: str, event: Event) -> None:
        try:
            self._runtime.bus.send(subjects.command(target), wire.pack([event.body]), wire.EVENTS_HEADERS)
        except Unavailable:
            return  # repair brings it

    def _tell(self, bypassed: Iterable[str]) -> None:
        for path in bypassed:
            if path not in self._told:
                self._told.add(path)
                asyncio.get_running_loop().call_later(GATHER, self._wake, path)

    def _wake(self, path: str) -> None:
        self._told.discard(path)
        try:
            self._runtime.bus.send(subjects.wake(path), b"")
        except Unavailable:
            return  # it asks every few seconds anyway


def _bypassed(path: str, guests: Mapping[str, str], me: str) -> list[str]:
    """The ancestors of a cluster, below `me`, that do not hear it: it, or one above it, is attached elsewhere."""
    return list(_above(path, guests, me))


def _above(path: str, guests: Mapping[str, str], me: str) -> Iterator[str]:
    line = [path, *paths.ancestors(paths.Path(path))]
    for place, each in enumerate(line):
        host = guests.get(each)
        if host is None:
            continue
        for above in line[place + 1 :]:
            if above == me or is_under(me, above):
                return
            if not is_under(host, above):
                yield above
        return

"""What a tier sends of its log: mail to those below, and what it says of itself to those above.

Nothing is sent before its commit, and nothing is sent twice: what is lost on the way, repair brings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from enum import Enum

import structlog

from bus import paths, subjects, wire
from bus.client import Bus
from bus.errors import Unavailable
from bus.event import Event
from bus.types import FINALS, MAIL, OBSERVED, RECEIVED

logger = structlog.get_logger()

#: Events that wait for the parent's word; what is older is left to repair.
WITHHELD = 1000


class Standing(Enum):
    """What its parent has said of a tier."""

    NEW = "new"
    ADMITTED = "admitted"
    REFUSED = "refused"


class Outbox:
    """Until a tier is admitted, another may be the true owner of its path: so long, nothing goes up. A tier
    that is refused sends nothing at all."""

    def __init__(self, bus: Bus, path: str, standing: Standing) -> None:
        self._bus = bus
        self._path = path
        self._has_parent = paths.depth(paths.Path(path)) > 0
        self._withheld: deque[Event] = deque(maxlen=WITHHELD)
        self.standing = standing

    def publish(self, events: Iterable[Event]) -> None:
        """Own events that were committed."""
        shared = [event for event in events if event.seq is not None]
        if self.standing is not Standing.REFUSED:
            self._send((event.subject, event) for event in shared if self._is_for_others(event))
        if self.standing is Standing.ADMITTED:
            self._report(shared)
        else:
            self._withheld.extend(shared)

    def push(self, events: Iterable[Event]) -> None:
        """Passes mail on to those below for whom it came late, each on the subject within this subtree."""
        outgoing = []
        for event in events:
            below = [to.path for to in event.to if to.path != self._path and paths.is_under(to.path, self._path)]
            if below:
                subject = subjects.command(below[0]) if len(below) == 1 else subjects.under(self._path)
                outgoing.append((subject, event))
        self._send(outgoing)

    def stand(self, standing: Standing) -> None:
        """The parent has decided: what was withheld goes up now, or is left to repair."""
        if standing is self.standing:
            return
        self.standing = standing
        withheld = list(self._withheld)
        self._withheld.clear()
        if standing is Standing.ADMITTED:
            self._report(withheld)

    def _is_for_others(self, event: Event) -> bool:
        return event.type in MAIL and any(to.path != self._path for to in event.to)

    def _report(self, events: Sequence[Event]) -> None:
        """Lane by lane; the order within a stream is its numbers'. A `received` that was committed with its final
        travels with it: one message for each command, on every link above."""
        if not self._has_parent:
            return
        ended = {event.data.get("command"): event.type for event in events if event.type in FINALS}
        types = [ended.get(e.data.get("command"), e.type) if e.type == RECEIVED else e.type for e in events]
        ordered = sorted(zip(types, events, strict=True), key=lambda each: _lane(each[0]))
        self._send((subjects.event(type, self._path), event) for type, event in ordered)

    def _send(self, outgoing: Iterable[tuple[str, Event]]) -> None:
        """What has one subject travels together."""
        by_subject: dict[str, list[bytes]] = {}
        for subject, event in outgoing:
            by_subject.setdefault(subject, []).append(event.body)
        try:
            for subject, bodies in by_subject.items():
                for chunk in wire.chunks(bodies):
                    self._bus.send(subject, wire.pack(chunk), wire.EVENTS_HEADERS)
        except Unavailable:
            logger.debug("no connection; repair brings what was not sent")


def _lane(type: str) -> int:
    """Finals go first, for whom somebody may wait, and what a cluster tells of its objects last."""
    return 0 if type in FINALS else 2 if type == OBSERVED else 1

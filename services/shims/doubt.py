"""What is in doubt at this cluster, and the verdicts of people that end it."""

from __future__ import annotations

from collections.abc import Iterator

from bus import types
from bus.event import Event
from services.shims.job import mail_in_state
from store.api import Reader

_PAGE = 500


def in_doubt_here(reader: Reader[Event], command: str, me: str) -> Event | None:
    """The mail of a command that is in doubt here."""
    return mail_in_state(reader, command, me, "in-doubt")


def verdicts_left(reader: Reader[Event], me: str) -> list[Event]:
    """Verdicts on what is in doubt that this tier has and did not carry out before it ended: their mail was
    received, and is not brought again."""
    if not reader.oldest_open(1, state="in-doubt"):
        return []
    left: dict[str, Event] = {}
    for event in _about_doubt(reader):
        command = str(event.data["command"])
        if event.source == me and event.type != types.RESOLVE:
            # Begun again, or in doubt again: what was said before has had its effect.
            left.pop(command, None)
        elif event.type == types.RESOLVE and any(to.path == me for to in event.to):
            left.setdefault(command, event)
    return [event for command, event in left.items() if in_doubt_here(reader, command, me) is not None]


def _about_doubt(reader: Reader[Event]) -> Iterator[Event]:
    after = 0
    while page := reader.events(after=after, limit=_PAGE, types=(types.STARTED, types.IN_DOUBT, types.RESOLVE)):
        yield from (stored.event for stored in page)
        after = page[-1].row

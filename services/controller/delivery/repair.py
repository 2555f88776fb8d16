"""Repair: what a tier asks of a path ancestor, and what the ancestor answers (DESIGN 6.4).

Push gives the latency, repair the guarantee. Downwards go the mailboxes of targets at or below the
asker that come from above it; upwards the streams of sources at or below the asker. Both are dense,
so one number each says everything. The functions here read one consistent, committed moment of a log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bus.event import Event
from bus.paths import is_under
from bus.types import ANNOUNCED, FINALS, JOINED, MAIL, OFFLINE, ONLINE, RECEIVED, STARTED
from services.controller.delivery import positions
from store.api import Cursor, Mailbox, Reader, Stream

#: One answer carries about this many bytes of events: short enough for slow links.
PAGE_BYTES = 60_000
#: How much of one mailbox or stream is read at once.
_READ = 500
#: So many events that an ancestor lacks are a backlog, in which what is urgent goes ahead; and so many at most.
BACKLOG, AHEAD = 500, 1000
#: What people and other tiers wait for; all else is state, of which the latest will come.
URGENT = (*sorted(MAIL), RECEIVED, STARTED, *FINALS, ANNOUNCED, JOINED, ONLINE, OFFLINE)
#: About as many events as fill a page: what does not fit is read again for the next.
_SHIPPED = 150


def mail_from_above(log: Reader[Event], asker: str) -> dict[Mailbox, int]:
    """Held numbers of all mailboxes whose target is at or below the asker and whose origin is above it."""
    return {
        box: held for box, held in log.mailboxes(asker).items() if box.origin != asker and is_under(asker, box.origin)
    }


def streams_from_below(log: Reader[Event], asker: str) -> dict[Stream, int]:
    """Held numbers of all streams whose source is at or below the asker."""
    return log.streams(asker)


@dataclass(slots=True)
class Page:
    """Events for one answer, each once; `more` if some did not fit. Up to its floor, what is not in the page of a
    mailbox was compacted away."""

    limit: int = PAGE_BYTES
    events: dict[str, Event] = field(default_factory=dict)
    floors: dict[Mailbox, int] = field(default_factory=dict)
    size: int = 0
    more: bool = False

    def add(self, event: Event) -> bool:
        """False, and `more`, if the page is full."""
        if event.id in self.events:
            return True
        if self.events and self.size + len(event.body) > self.limit:
            self.more = True
            return False
        self.events[event.id] = event
        self.size += len(event.body)
        return True

    def bodies(self) -> list[bytes]:
        """The exact bytes, in order."""
        return [event.body for event in self.events.values()]


def answer_mail(
    log: Reader[Event], asker: str, buckets: Iterable[int], held: Mapping[Mailbox, int], limit: int = PAGE_BYTES
) -> Page:
    """What the asker lacks of the mailboxes in these buckets, as far as this log holds it without a hole.

    A number that a later event covers travels as that event alone. Mailbox by mailbox and in order of
    number, so that however short the page is, the asker's first hole gets smaller.
    """
    page = Page(limit)
    floors = log.mail_floors(asker)
    for box, mine in positions.select(mail_from_above(log, asker), buckets).items():
        after = held.get(box, 0)
        floor = floors.get(box, 0)
        while after < mine:
            batch = log.mail(box, after=after, limit=_READ)
            if not batch:
                break
            for mail in batch:
                if after < min(mail.number - 1, floor):
                    page.floors[box] = min(mail.number - 1, floor)
                what = mail.cover or mail.event
                if what is None or not page.add(what):
                    return page
                after = mail.number
        if after < floor:
            page.floors[box] = floor
    return page


def lacking(mine: Mapping[Stream, int], theirs: Mapping[Stream, int]) -> list[tuple[Stream, int]]:
    """The streams of which the other lacks something, and after which seq."""
    return sorted((stream, theirs.get(stream, 0)) for stream, held in mine.items() if held > theirs.get(stream, 0))


def shipment(log: Reader[Event], wants: list[tuple[Stream, int]], limit: int = PAGE_BYTES) -> Page:
    """The next events of these streams, each in order of seq, as many as one message should carry.
    `wants` is left as what still has to follow once the page is there."""
    page = Page(limit)
    while wants:
        stream, after = wants[0]
        batch = log.stream(stream, after=after, limit=_SHIPPED)
        for event in batch:
            if not page.add(event):
                return page
            after = event.seq or after
            wants[0] = (stream, after)
        if len(batch) < _SHIPPED:
            wants.pop(0)
    return page


def ahead(log: Reader[Event], me: str, wants: Sequence[tuple[Stream, int]], missing: int) -> list[Event]:
    """Of a backlog of `missing` events what somebody waits for, in the order of this log, to be shipped before
    the rest: what became of commands, and what clusters are. It is shipped again in its place, so that streams stay
    dense and in order. Nothing, where the backlog is short or most of it is urgent."""
    if missing < BACKLOG:
        return []
    found = log.events(types=URGENT, source=f"under:{me}", latest=True, limit=AHEAD)
    behind = dict(wants)
    urgent = [e for _, e in found if (e.seq or 0) > behind.get(Stream(e.source, e.epoch), e.seq or 0)]
    return urgent if len(found) < AHEAD and 2 * len(urgent) < missing else []


def came_around(log: Reader[Event], asker: str, held: Mapping[Stream, int], limit: int) -> Page:
    """What this log holds of these streams behind what the asker holds. Where events were compacted away in between,
    nothing: the asker could not join what follows to what it has."""
    mine, floors = log.streams(asker), log.floors(asker)
    wants = [
        (stream, after)
        for stream, after in sorted(held.items())
        if stream.source != asker and mine.get(stream, 0) > after >= floors.get(stream, 0)
    ]
    page = shipment(log, wants, limit)
    page.more = bool(wants)
    return page


def pages(events: Iterable[Event], limit: int) -> Iterator[Page]:
    """The events in order, as many on a page as one message should carry."""
    page = Page(limit)
    for event in events:
        if not page.add(event):
            yield page
            page = Page(limit)
            page.add(event)
    if page.events:
        yield page


def admissible(events: Iterable[Event], asker: str) -> list[Event]:
    """Of what the asker ships, the events that are its own or its subtree's to ship."""
    return [event for event in events if is_under(event.source, asker)]


def floors_below(floors: Iterable[tuple[str, str, int]], asker: str) -> dict[Stream, int]:
    """Of the floors that the asker ships, those of sources at or below it."""
    return {Stream(source, epoch): n for source, epoch, n in floors if is_under(source, asker)}


def floors_above(floors: Iterable[tuple[str, str, str, int]], me: str) -> dict[Mailbox, int]:
    """Of the floors that an ancestor answers, those of mail for `me` or below from above."""
    return {
        Mailbox(origin, epoch, target): n
        for origin, epoch, target, n in floors
        if is_under(target, me) and is_under(me, origin) and origin != me
    }


def relevant(events: Iterable[Event], me: str) -> list[Event]:
    """Of what an ancestor answers, the events that are mail for `me` or below."""
    return [event for event in events if any(is_under(to.path, me) for to in event.to)]


def stored_mail(reader: Reader[Event], me: str, cursors: dict[str, Cursor]) -> list[Event]:
    """Mail for `me` beyond the cursors, in order for each origin and life."""
    found: dict[str, Event] = {}
    for box in sorted(box for box in reader.mailboxes(me) if box.target == me):
        cursor = cursors.get(box.origin, Cursor("", 0))
        if box.epoch < cursor.epoch:
            continue
        after = cursor.number if box.epoch == cursor.epoch else 0
        while batch := reader.mail(box, after=after, limit=_READ):
            for mail in batch:
                found.update((event.id, event) for event in (mail.cover, mail.event) if event is not None)
            after = batch[-1].number
    return list(found.values())

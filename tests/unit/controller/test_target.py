"""What the log of a target takes as the next of a mailbox."""

from __future__ import annotations

import pytest

from bus.event import Event
from bus.types import RECEIVED
from services.controller.delivery.target import OutOfOrder, accept
from services.tier.mail import Mail
from store.api import Cursor, Mailbox
from store.memory import MemoryLog
from tests.unit.store.samples import EPOCH, Source

SITE = "root.site"
BOX = Mailbox("root", EPOCH, SITE)


def mail(count: int) -> list[Mail]:
    source = Source("root")
    events = [source.command(SITE, command=f"c{n}") for n in range(1, count + 1)]
    return [Mail(Cursor(EPOCH, n), event, None) for n, event in enumerate(events, 1)]


def take(log: MemoryLog[Event], each: Mail) -> None:
    log.apply(lambda tx: tx.record([each.event] if each.event else []))
    log.apply(lambda tx: accept(tx, each))


def cursor(log: MemoryLog[Event]) -> int:
    return log.query(lambda reader: reader.cursors())["root"].number


def test_only_the_next_is_taken() -> None:
    log, (one, two, three) = MemoryLog[Event](SITE), mail(3)
    take(log, one)
    for wrong in (one, three):
        with pytest.raises(OutOfOrder):
            take(log, wrong)
    take(log, two)
    log.commit()
    assert cursor(log) == 2


def test_what_was_compacted_away_is_passed_over_also_when_it_comes_late() -> None:
    log, (one, two, three, four) = MemoryLog[Event](SITE), mail(4)
    take(log, one)
    log.apply(lambda tx: tx.skip({}, {BOX: 2}))
    assert two.event is not None
    late = two.event
    log.apply(lambda tx: tx.record([late]))
    with pytest.raises(OutOfOrder):
        take(log, four)
    take(log, three)
    take(log, four)
    with pytest.raises(OutOfOrder):
        take(log, two)
    log.commit()
    assert cursor(log) == 4
    received = log.query(lambda reader: reader.events(types=(RECEIVED,)))
    assert [stored.event.data["command"] for stored in received] == ["c1", "c3", "c4"]

"""What follows when others hold more, or something else, of a log than it holds itself (ADR 0023): each case was
found by the adversary of `tests/property/lives.py`."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeVar

from bus.event import Addressee, Draft, Event
from bus.sync import GiveBack
from bus.types import ATTACHED, RENEWED, SUBMITTED
from services.controller.delivery import lives, target
from services.controller.delivery.lives import Verdict
from services.controller.returns import take_back
from services.tier.mail import Mail
from store.api import Cursor, Stream, Tx
from store.memory import MemoryLog
from tests.unit.store.samples import EPOCH, LATER, Source, report

T = TypeVar("T")
ROOT, ME, CHILD = "root", "root.a", "root.a.x"


def log_of(path: str, *events: Event, epoch: str = EPOCH) -> MemoryLog[Event]:
    """A log that holds copies of these events."""
    log: MemoryLog[Event] = MemoryLog(path, epoch=epoch)
    do(log, lambda tx: tx.record(events))
    return log


def do(log: MemoryLog[Event], op: Callable[[Tx[Event]], T]) -> T:
    result = log.apply(op)
    log.commit()
    return result


def command(source: Source, id: str, *targets: str) -> Event:
    data: dict[str, Any] = {"command": id, "selector": "all", "digest": "d", "count": 3, "do": {"verb": "apply"}}
    to = tuple(Addressee(path, number, EPOCH) for path, number in source.mail(*targets))
    return source.seal(Draft(type=SUBMITTED, subject="ote.cmd.x", data=data, to=to))


def states(log: MemoryLog[Event], id: str, *targets: str) -> dict[str, str | None]:
    rows = {path: log.query(lambda tx, path=path: tx.target(id, path)) for path in targets}  # type: ignore[misc]
    return {path: row and row.state for path, row in rows.items()}


def test_a_fork_that_lies_under_what_a_copy_has_said_since_is_shown() -> None:
    one, copy = Source(ME).samples(1), Source(ME).samples(3)
    above = log_of(ROOT, *one, *copy)
    marks = above.query(lambda log: lives.marks_of(log, ME))
    assert marks == [lives.place_of(event) for event in (copy[2], copy[1], one[0])]
    mine = MemoryLog[Event](ME, epoch=LATER)
    do(mine, lambda tx: tx.record(copy))
    shown = mine.query(lambda log: lives.look_at(log, marks))
    assert (shown.verdict, shown.mark, shown.lives) == (Verdict.FORKED, lives.place_of(one[0]), {EPOCH})


def test_a_fork_before_the_last_that_both_copies_have_said_is_shown() -> None:
    one, copy = Source(ME).samples(40), Source(ME).samples(30)
    below = log_of(CHILD, *copy[24:30:2], one[39])
    marks = below.query(lambda log: lives.marks_of(log, ME))
    assert marks == [lives.place_of(one[39]), lives.place_of(copy[28])]
    mine = log_of(ME, *one, epoch=LATER)
    shown = mine.query(lambda log: lives.look_at(log, marks))
    assert (shown.verdict, shown.forked) == (Verdict.FORKED, {EPOCH})


def test_of_a_long_life_few_places_are_shown() -> None:
    above = log_of(ROOT, *Source(ME).samples(1000))
    assert [mark.seq for mark in above.query(lambda log: lives.marks_of(log, ME))][:5] == [1000, 999, 998, 996, 992]
    assert len(above.query(lambda log: lives.marks_of(log, ME))) == 11


def test_a_marker_that_knows_another_event_in_its_place_shows_that_two_have_gone_on() -> None:
    """What the other copy has said since may be anywhere: all of this life is asked for."""
    one, other = Source(ME).samples(3), Source(ME).samples(2)
    mine = MemoryLog[Event](ME, epoch=EPOCH)
    do(mine, lambda tx: tx.record(one))
    do(mine, lambda tx: lives.restored(tx, lives.place_of(other[1])))
    shown = mine.query(lambda log: lives.look_at(log, []))
    assert Stream(ME, EPOCH) not in mine.query(lambda log: lives.held_of(log, shown))


def test_two_mails_with_one_number_show_a_fork() -> None:
    one, copy = Source(ME), Source(ME)
    lost = command(one, "c1", CHILD)
    copy.samples(1)
    other = command(copy, "c2", CHILD)
    below = log_of(CHILD, lost, other)
    assert below.query(lambda log: log.quarantined(ME, 9)) == [other]
    assert lives.place_of(lost) in below.query(lambda log: lives.marks_of(log, ME))


def test_of_a_command_in_several_events_the_part_whose_place_is_taken_is_submitted_again() -> None:
    before, copy = Source(ME), Source(ME)
    parts = [command(before, "c1", target) for target in (ME, CHILD)]
    mine = log_of(ME, *copy.samples(1), epoch=LATER)
    taken = do(mine, lambda tx: lives.take_back(tx, parts, ROOT))
    assert (taken.new, taken.forks) == ([parts[1]], [parts[0]])
    assert {to.path for event in taken.issued for to in event.to} == {ME, CHILD}
    assert states(mine, "c1", ME, CHILD) == {ME: "accepted", CHILD: "accepted"}


def test_what_is_known_as_received_only_is_submitted_again_where_its_body_has_no_place() -> None:
    before, copy = Source(ME), Source(ME)
    back = [command(before, "c1", ME), before.seal(report("received", "c1"))]
    mine = log_of(ME, *copy.samples(1), epoch=LATER)
    taken = do(mine, lambda tx: lives.take_back(tx, back, ROOT))
    assert [to.path for event in taken.issued for to in event.to] == [ME]
    row = mine.query(lambda tx: tx.target("c1", ME))
    assert row is not None and (row.state, row.epoch) == ("received", LATER)


def test_what_has_ended_is_known_again_although_its_body_has_no_place() -> None:
    before, copy = Source(ME), Source(ME)
    back = [command(before, "c1", ME), before.seal(report("succeeded", "c1"))]
    mine = log_of(ME, *copy.samples(1), epoch=LATER)
    taken = do(mine, lambda tx: lives.take_back(tx, back, ROOT))
    assert [event.data["command"] for event in taken.issued] == ["c1"]
    assert states(mine, "c1", ME) == {ME: "succeeded"}
    assert mine.query(lambda log: log.command("c1")) is not None
    assert do(mine, lambda tx: lives.take_back(tx, back, ROOT)).issued == [], "once"


def test_what_another_copy_has_done_is_done_also_before_its_mail_is_back() -> None:
    """Else it would be accepted again by mail of an earlier life, which nobody carries out."""
    before, copy = Source(ME), Source(ME)
    mine = log_of(ME, *copy.samples(1), epoch=LATER)
    do(mine, lambda tx: lives.take_back(tx, [before.seal(report("succeeded", "c1"))], ROOT))
    do(mine, lambda tx: tx.record([command(Source(ROOT), "c1", ME)]))
    assert states(mine, "c1", ME) == {ME: "succeeded"}


def test_of_a_life_in_which_a_copy_has_gone_on_everything_is_asked_for() -> None:
    mine = log_of(ME, *Source(ME).samples(3), epoch=LATER)
    known = mine.query(lambda log: lives.look_at(log, []))
    assert mine.query(lambda log: lives.held_of(log, known)) == {}
    ended = MemoryLog[Event](ME, epoch=EPOCH)
    do(ended, lambda tx: tx.append(Draft(type="ote.test.sample.v1", subject="x", data={})))
    do(ended, lambda tx: lives.renew(tx, EPOCH, lives.RESTORED))
    held = ended.query(lambda log: lives.held_of(log, known))
    assert held[Stream(ME, EPOCH)] == 1, "nothing was said in it that was not to be said"


def test_what_an_earlier_life_had_asked_for_does_not_settle_what_this_one_lacks() -> None:
    mine = MemoryLog[Event](ME, epoch=LATER)
    shown = mine.query(lambda log: lives.look_at(log, []))
    for asked, row in ((EPOCH, 0), (LATER, 7)):
        do(mine, lambda tx, asked=asked: lives.settle(tx, CHILD, EPOCH, 7, asked))  # type: ignore[misc]
        assert mine.query(lambda log: lives.asked_from(log, shown, CHILD, EPOCH)) == row


def test_who_holds_nothing_has_answered_too() -> None:
    mine = log_of(ME, Source(ME).samples(2)[1], epoch=LATER)
    do(mine, lambda tx: lives.give_up(tx, [(ROOT, EPOCH)]))
    assert mine.query(lambda log: log.streams(ME)) == {Stream(ME, EPOCH): 0}
    do(mine, lambda tx: lives.settle(tx, ROOT, EPOCH, 0, LATER))
    do(mine, lambda tx: lives.give_up(tx, [(ROOT, EPOCH)]))
    assert mine.query(lambda log: log.streams(ME)) == {Stream(ME, EPOCH): 2}


def test_lives_are_counted_as_far_as_who_gave_them_back_and_compacted_the_rest() -> None:
    mine = MemoryLog[Event](ME, epoch=LATER)
    theirs = {Stream(ME, EPOCH): 5, Stream(ME, LATER): 9, Stream(CHILD, EPOCH): 4}
    assert do(mine, lambda tx: lives.count_as(tx, ROOT, EPOCH, theirs)) == 0, "it has not given back anything yet"
    do(mine, lambda tx: lives.settle(tx, ROOT, EPOCH, 7, LATER))
    assert do(mine, lambda tx: lives.count_as(tx, ROOT, EPOCH, theirs)) == 1
    assert mine.query(lambda log: log.streams(ME)) == {Stream(ME, EPOCH): 5}


def test_where_an_earlier_life_was_is_not_said_again() -> None:
    """It would be believed, being the latest word of the latest life."""
    mine = MemoryLog[Event](ME, epoch=EPOCH)
    host = Draft(type=ATTACHED, subject="ote.evt.cluster-attached.root.a", data={"path": ME, "attached_to": "root.b"})
    fork = do(mine, lambda tx: tx.append(Draft(type="ote.test.sample.v1", subject="x", data={})))
    do(mine, lambda tx: tx.append(host))
    do(mine, lambda tx: lives.renew(tx, EPOCH, "forked"))
    assert do(mine, lambda tx: lives.retell(tx, [fork])) == 1
    said = [stored.event for stored in mine.query(lambda log: log.events()) if stored.event.epoch != EPOCH]
    assert [event.type for event in said] == [RENEWED, "ote.test.sample.v1"]


def test_a_command_that_has_ended_is_told_again_where_others_hold_something_else_in_its_place() -> None:
    """Else those above show a result without its command (found by a round of faults)."""
    child = Source(CHILD)
    mine = MemoryLog[Event](ME, epoch=EPOCH)
    order = Draft(
        type=SUBMITTED,
        subject="ote.cmd.root.a.x",
        data={"command": "c1", "selector": "x", "digest": "d", "count": 1, "do": {"verb": "reboot"}},
        to=(Addressee(CHILD, 1, EPOCH),),
    )
    sent = do(mine, lambda tx: (tx.number(CHILD), tx.append(order))[1])
    ended = child.seal(report("succeeded", "c1"))
    do(mine, lambda tx: tx.record([ended]))
    copy = Source(ME).samples(1)
    above = log_of(ROOT, *copy, sent, ended)
    assert above.query(lambda log: log.command("c1")) is None
    do(mine, lambda tx: lives.renew(tx, EPOCH, "forked"))
    assert do(mine, lambda tx: lives.retell(tx, copy)) == 1
    assert do(mine, lambda tx: lives.retell(tx, copy)) == 0, "once"
    said = [each.event for each in mine.query(lambda log: log.events(source=ME)) if each.event.epoch != EPOCH]
    again = said[-1]
    assert (again.type, [(to.path, to.number, to.epoch) for to in again.to]) == (SUBMITTED, [(CHILD, 1, EPOCH)])
    do(above, lambda tx: tx.record(said))
    assert above.query(lambda log: log.command("c1")) is not None
    for log in (mine, above):
        assert states(log, "c1", CHILD) == {CHILD: "succeeded"}
    below = log_of(CHILD, sent, ended, epoch=LATER)
    mail = Mail(Cursor(again.epoch, 1), again, None)
    do(below, lambda tx: target.accept(tx, mail))
    assert states(below, "c1", CHILD) == {CHILD: "succeeded"}, "it is not carried out again"


async def test_a_hole_is_given_up_also_where_what_lies_behind_it_comes_after_all_above_have_answered() -> None:
    """Else nothing behind it would ever go up (found by a round of faults)."""
    before = Source(ME)
    before.samples(1)
    mail = command(before, "c1", CHILD)
    mine = MemoryLog[Event](ME, epoch=LATER)

    async def write(op: Callable[[Tx[Event]], T]) -> T:
        return do(mine, op)

    runtime: Any = SimpleNamespace(log=SimpleNamespace(write=write), instance="", skips=0)
    above = [(ROOT, EPOCH)]
    back = GiveBack(epoch=EPOCH, events=[], row=7, life=LATER, instance="")
    await take_back(runtime, [mail], CHILD, back, above)
    assert mine.query(lambda log: log.streams(ME))[Stream(ME, EPOCH)] == 0, "the root may have it"
    do(mine, lambda tx: lives.settle(tx, ROOT, EPOCH, 0, LATER))
    await take_back(runtime, [], CHILD, back, above)
    assert mine.query(lambda log: log.streams(ME))[Stream(ME, EPOCH)] == 2

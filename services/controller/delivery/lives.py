"""Lives of a log: what others hold of it, and what follows when that is more, or other, than it holds itself
(DESIGN 6.8, ADR 0023).

Tiers that greet each other show the last that they hold of each other's own events: a mark. Whoever is shown a
place that he does not hold has lost a part of his log; whoever holds something else there has lived the same life
twice. Both begin a new life, get back what the other holds of them, and submit again what has no final.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from bus import subjects
from bus.event import Draft, Event
from bus.sync import Mark
from bus.types import ANNOUNCED, ATTACHED, FINALS, IN_DOUBT, MAIL, RENEWED, SUBMITTED
from services.controller.delivery import submission
from services.controller.delivery.repair import PAGE_BYTES, Page
from services.controller.delivery.submission import OPEN
from services.tier.mail import is_first
from store.api import Mailbox, Reader, Stream, Tx

#: How many events are looked at for one page.
_SCAN = 500
#: Why a life begins where the marker outside the log has told, before anything was written.
RESTORED = "restored"
#: And where nothing was lost, but what is said from now on is signed.
SIGNED = "signed"
#: Of so many lives of a log a mark is shown, and of what came instead of so many forks.
_LIVES, _FORKS = 8, 8


class Verdict(Enum):
    """What a log knows of the place in a mark."""

    KNOWN = "known"
    LOST = "lost"
    FORKED = "forked"


def place_of(event: Event) -> Mark:
    """The mark that shows this event."""
    return Mark(event.epoch, event.seq or 0, event.checksum)


def marks_of(log: Reader[Event], source: str) -> list[Mark]:
    """The last that is held here of each life of this source, the latest life first, and of each some of what lies
    before it. And what is held in the places and under the numbers of forks: what a copy of the source has said since
    may lie over them."""
    marks: list[Mark] = []
    before: str | None = None
    for _ in range(_LIVES):
        if (event := log.latest_of(source, before=before)) is None:
            break
        marks += [place_of(each) for each in (event, *_back_from(log, event))]
        before = event.epoch
    forks = log.quarantined(source, _FORKS)
    return list(dict.fromkeys(marks + [place_of(event) for fork in forks for event in _instead(log, fork)]))


def _back_from(log: Reader[Event], last: Event) -> Iterator[Event]:
    """What is held 1, 2, 4, 8 ... places before this event, or last before that: where two copies have gone on in a
    life, both may have said the same since, or the one what lies over the other."""
    stream, top, step = Stream(last.source, last.epoch), last.seq or 0, 1
    while step < top and (event := log.last_at(stream, top - step)) is not None:
        yield event
        step = 2 * (top - (event.seq or 0))


def _instead(log: Reader[Event], fork: Event) -> Iterator[Event]:
    """What has the place of a fork, or one of its numbers."""
    place = fork.seq or 0
    yield from (e for e in log.stream(Stream(fork.source, fork.epoch), after=place - 1, limit=1) if e.seq == place)
    for to in fork.to:
        mails = log.mail(Mailbox(fork.source, fork.epoch, to.path), after=to.number - 1, limit=1)
        yield from (mail.event for mail in mails if mail.event is not None and mail.number == to.number)


class Shown(NamedTuple):
    """What others have shown this log of itself: of the latest life that has one a place that it does not know, and how
    it stands to it; all lives with such a place, and those that were lived twice."""

    verdict: Verdict
    mark: Mark | None = None
    lives: frozenset[str] = frozenset()
    forked: frozenset[str] = frozenset()


def look_at(log: Reader[Event], marks: Iterable[Mark]) -> Shown:
    """What this log does not know of these places."""
    verdicts = [(mark, judge(log, mark)) for mark in marks]
    unknown = [(mark, verdict) for mark, verdict in verdicts if verdict is not Verdict.KNOWN]
    if not unknown:
        return Shown(Verdict.KNOWN)
    mark, verdict = max(unknown, key=lambda each: each[0].epoch)
    forked = frozenset(mark.epoch for mark, verdict in unknown if verdict is Verdict.FORKED)
    return Shown(verdict, mark, frozenset(mark.epoch for mark, _ in unknown), forked)


def judge(log: Reader[Event], mark: Mark) -> Verdict:
    """What this log knows of the place that another shows it."""
    stream = Stream(log.source, mark.epoch)
    found = log.stream(stream, after=mark.seq - 1, limit=1)
    if found and found[0].seq == mark.seq:
        return Verdict.KNOWN if found[0].checksum == mark.checksum else Verdict.FORKED
    return Verdict.KNOWN if mark.seq <= log.floors(log.source).get(stream, 0) else Verdict.LOST


def held_of(log: Reader[Event], shown: Shown) -> dict[Stream, int]:
    """Up to where this log holds its own lives: what lies beyond is asked for. All of a life is, in which it may have
    gone on from an old copy, since nobody knows where the two part; and of one in which what was missing was given
    up."""
    floors = log.floors(log.source)
    own = {stream: n for stream, n in log.streams(log.source).items() if stream.source == log.source}
    ended = [stream for stream in own if log.place(_whole(stream.epoch)) and stream.epoch not in shown.forked]
    held = {stream: own[stream] for stream in ended if stream not in floors}
    present = Stream(log.source, log.epoch)
    if present in own and log.epoch not in shown.lives:
        held[present] = own[present]
    return held


def is_over(log: Reader[Event], shown: Shown) -> bool:
    """Whether the present life must end: somebody has seen more of it, or of a later one; or it is a first life, and
    was not the first."""
    return shown.mark is not None and (shown.mark.epoch >= log.epoch or is_first(log.epoch))


def beyond(
    log: Reader[Event], source: str, held: Mapping[Stream, int], after: int, limit: int = PAGE_BYTES
) -> tuple[Page, int]:
    """Events of a source beyond what it holds of them, with holes, from the row `after` on; and the row to go on from,
    also later."""
    page = Page(limit)
    while batch := log.events(after=after, limit=_SCAN, source=source):
        for row, event in batch:
            if (event.seq or 0) > held.get(Stream(source, event.epoch), 0) and not page.add(event):
                return page, after
            after = row
    return page, log.last_row()


def asked_from(log: Reader[Event], shown: Shown, neighbour: str, life: str) -> int | None:
    """From which row of a neighbour's log (in this life of it) he is asked for what this log has lost; None if there is
    nothing: this is its first life, and he knows no other. In a later life everybody is asked, each time that he is
    greeted: what others say of the new life hides what they hold of the old ones."""
    if is_first(log.epoch) and shown.mark is None:
        return None
    if any(log.place(_whole(epoch)) for epoch in shown.forked):
        # It was no marker's to know that an earlier copy had gone on in it.
        return 0
    return max(log.place(_asked(log, neighbour, life)) - 1, 0)


def settle(tx: Tx[Event], neighbour: str, life: str, row: int, asked: str) -> None:
    """What this neighbour held of this log up to this row of his is back, if it was `asked` for in the present life:
    for another more may be missing."""
    if asked == tx.epoch:
        # One more: his log may be empty, and he has answered.
        tx.move_place(_asked(tx, neighbour, life), row + 1)


def give_up(tx: Tx[Event], ancestors: Iterable[tuple[str, str]]) -> None:
    """When all ancestors (each with its life) have given back what they had, what is missing of earlier lives counts as
    held: nobody waits for it any more, and what lies behind it can go up."""
    if is_first(tx.epoch) or not all(tx.place(_asked(tx, *each)) for each in ancestors):
        return
    own = {stream: n for stream, n in tx.streams(tx.source).items() if stream.source == tx.source}
    tops = {stream: tx.top_of(stream) for stream in own if stream.epoch != tx.epoch}
    if gone := {stream: top for stream, top in tops.items() if top > own[stream]}:
        tx.skip(gone, {})


def count_as(tx: Tx[Event], neighbour: str, life: str, theirs: Mapping[Stream, int]) -> int:
    """Counts earlier lives of this log as far as a neighbour does that has given back what it had of them: what is
    still missing was compacted away there. Returns of how many lives that was news."""
    if not tx.place(_asked(tx, neighbour, life)):
        return 0
    mine = tx.streams(tx.source)
    earlier = {stream: n for stream, n in theirs.items() if stream.source == tx.source and stream.epoch != tx.epoch}
    gone = {stream: n for stream, n in earlier.items() if n > mine.get(stream, 0)}
    if gone:
        tx.skip(gone, {})
    return len(gone)


def _whole(epoch: str) -> str:
    """The name of the mark that nothing was written in this life after a part of it was lost."""
    return f"ended at once {epoch}"


def _asked(log: Reader[Event], neighbour: str, life: str) -> str:
    # Named with a life of another's log last: it is none of the consumers of this one, for which events have to stay.
    return f"returned in {log.epoch} by {neighbour} {life}"


@dataclass(slots=True)
class Returned:
    """What became of events that came back: `new` are stored now, `forks` are others than those that this log has in
    their places; `issued` is what was submitted again."""

    new: list[Event] = field(default_factory=list)
    forks: list[Event] = field(default_factory=list)
    issued: list[Event] = field(default_factory=list)


def take_back(tx: Tx[Event], events: Iterable[Event], giver: str) -> Returned:
    """Stores what a neighbour gives back of this log's own events: an ancestor all of them, who is below the mail that
    went there. What shows that the present life is not what this log takes it for ends it; and commands without a
    final are submitted again."""
    back = [event for event in events if event.source == tx.source]
    places = sorted(map(place_of, back), reverse=True)
    shown = next((shown for place in places if is_over(tx, shown := look_at(tx, [place]))), None)
    taken = Returned()
    if shown is not None and shown.mark is not None:
        taken.issued += renew(tx, shown.mark.epoch, shown.verdict.value, giver)
    floors = tx.floors(tx.source)
    taken.new = tx.record(back).new
    # What had been given up goes up as something new: others hold it for lost as well.
    retold = [e for e in taken.new if (e.seq or 0) <= floors.get(Stream(e.source, e.epoch), 0)]
    _say_again(tx, retold)
    # Also those that came, and were put aside, before.
    taken.forks = [event for event in back if judge(tx, place_of(event)) is Verdict.FORKED]
    taken.issued += _adopt(tx, taken.forks)
    for event in back:
        row = tx.command(str(event.data["command"])) if event.type == SUBMITTED else None
        if row is not None:
            taken.issued += submission.reissue(tx, row)
        if event.type == SUBMITTED and event in taken.forks:
            # Its place is taken, so that it can not be kept as it was; what it asks for is not lost.
            taken.issued += submission.issue_anew(tx, event)
    for event in back:
        taken.issued += submission.bury(tx, event)
    return taken


def _adopt(tx: Tx[Event], forks: Iterable[Event]) -> list[Event]:
    """What another copy of this cluster has done is done, also if what it said of it can not be kept in its place."""
    ends = [event for event in forks if event.type in FINALS and event.type != IN_DOUBT]
    said = []
    for event in ends:
        row = tx.target(str(event.data["command"]), tx.source)
        if row is None or row.state in (*OPEN, "in-doubt"):
            said.append(event)
    return [tx.append(Draft(e.type, e.subject, e.data, e.cause, e.actor, time=e.time)) for e in said]


def restored(tx: Tx[Event], lost: Mark) -> list[Event]:
    """Begins a life above the one whose last place the marker has kept, which this log does not hold. Returns what
    was said at once."""
    # Two have gone on in it, where this log holds something else there.
    verdict = judge(tx, lost)
    return renew(tx, lost.epoch, verdict.value if verdict is Verdict.FORKED else RESTORED)


def renew(tx: Tx[Event], above: str, why: str, shown_by: str | None = None) -> list[Event]:
    """Begins a life of the log above one that others have seen, says so, and submits again what has no final, under
    the same command ids: targets that have it already will know it. Returns all of these events."""
    before = tx.epoch
    if why in (RESTORED, SIGNED):
        tx.move_place(_whole(before), 1)
    tx.begin_life(above)
    issued = submission.reissue_all(tx)
    data = {"why": why, "before": before, "shown_by": shown_by, "reissued": len(issued)}
    said = {name: value for name, value in data.items() if value is not None}
    told = tx.append(Draft(RENEWED, subjects.event(RENEWED, tx.source), said))
    return [*issued, told]


def retell(tx: Tx[Event], forks: Iterable[Event]) -> int:
    """Says again, in this life, what this log said in an earlier one where others hold something else in its place:
    nobody else would ever learn of it. Returns how much it was."""
    first: dict[str, int] = {}
    for event in forks:
        if event.source == tx.source and event.seq is not None and event.epoch != tx.epoch:
            first[event.epoch] = min(first.get(event.epoch, event.seq), event.seq)
    told = 0
    for epoch, seq in first.items():
        consumer = f"retold {epoch}"
        # Said again once, whoever else shows the same fork; only what lies before it is news.
        end = tx.place(consumer)
        after = seq - 1
        while batch := tx.stream(Stream(tx.source, epoch), after=after, limit=_SCAN):
            after = batch[-1].seq or after
            told += _say_again(tx, (event for event in batch if not end or (event.seq or 0) < end))
        if not end or seq < end:
            tx.move_place(consumer, seq)
    return told


def _say_again(tx: Tx[Event], events: Iterable[Event]) -> int:
    """Mail that is open is submitted again by other rules, and so is said only where it has ended; who this cluster is,
    and where, it says anyway."""
    told = 0
    for event in events:
        if event.type == SUBMITTED:
            told += len(submission.tell_again(tx, event))
        elif event.type not in (*MAIL, ANNOUNCED, ATTACHED):
            tx.append(Draft(event.type, event.subject, event.data, event.cause, event.actor, time=event.time))
            told += 1
    return told

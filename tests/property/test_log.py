"""Logs under random appends, duplicates, reorderings, holes and forks.

Whatever comes in whatever order: a log holds what a model of a few lines says, the real log and the
one in memory tell the same, and so does the real one after it was opened again or rebuilt.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.event import Draft, Event
from store.api import Cursor, Mail, Mailbox, Reader, Stream, Tx
from store.memory import MemoryLog
from store.sql import open_log
from tests.postgres import PostgresServer
from tests.unit.store.samples import EPOCH, LATER, Source, cancel, cluster, report, sample, stored, submitted

OWN = "root.east"
LIFE = "00000001.0000000000000001"
BELOW = (OWN, "root.east.a", "root.east.a.x", "root.east.b")
SOURCES = (("root", EPOCH), ("root", LATER), *((path, EPOCH) for path in BELOW[1:]), ("root.east.a", LATER))
TARGETS = (*BELOW, "root.west", "root.eastern")
ORIGINS = ("root", "root.east.a", "root.east.a.x", "root.east.b")
COMMANDS = tuple(f"{path}/{id}" for path in ORIGINS for id in ("c0", "c1"))
STATES = ("received", "started", "succeeded", "failed", "in-doubt")

targets = st.lists(st.sampled_from(TARGETS), min_size=1, max_size=3, unique=True)
commands = st.sampled_from(COMMANDS[:3])
kinds = st.one_of(
    st.just(("sample",)),
    st.tuples(st.just("command"), st.sampled_from(["c0", "c1"]), targets, st.sampled_from([None, "k"]), st.booleans()),
    st.tuples(st.just("cancel"), st.none(), targets),
    st.tuples(st.just("report"), commands, st.sampled_from(STATES)),
    st.tuples(st.just("stored"), commands),
    st.tuples(
        st.just("cluster"), st.sampled_from(["announced", "joined", "online", "offline"]), st.sampled_from(BELOW)
    ),
)


class Own(NamedTuple):
    """An op of this tier itself: a command to some targets (or a sample, to none)."""

    draft: Draft
    to: tuple[str, ...]
    raises: bool


class Writer(Source):
    """A source that numbers its mail as an origin does: a command has one number for each target, and
    a cover names the command that has the number."""

    def __init__(self, path: str, epoch: str) -> None:
        super().__init__(path, epoch)
        self._at: dict[tuple[str, int], str] = {}

    def draft(self, kind: tuple[Any, ...]) -> Draft:
        name, *rest = kind
        if name == "command":
            return self._command(*rest)
        if name == "cancel":
            mail = self.mail(*rest[1])
            return cancel("c", mail, self._before(mail))
        if name == "report":
            return report(rest[1], rest[0], result=self.seq)
        if name == "stored":
            return stored(rest[0])
        if name == "cluster":
            return cluster(rest[0], rest[1], attached_to=self.path)
        return sample(self.seq)

    def _command(self, command: str, paths: list[str], key: str | None, covering: bool) -> Draft:
        id = f"{self.path}/{command}"
        fresh = [path for path in paths if (path, id) not in {(p, c) for (p, _), c in self._at.items()}]
        mail = self.mail(*fresh)
        self._at.update({entry: id for entry in mail})
        return submitted(id, mail, key=key, covers=self._before(mail) if covering else ())

    def _before(self, mail: list[tuple[str, int]]) -> list[tuple[str, int, str]]:
        return [(path, n, id) for (path, n), id in self._at.items() if (path, n) not in mail]


@st.composite
def batches(draw: st.DrawFn, *, forks: bool = True) -> list[list[Event] | Own]:
    """Batches of events of others in any order, with doubles and forks, and between them own ops."""
    events: list[Event] = []
    for path, epoch in SOURCES:
        source, fork = Writer(path, epoch), Source(path, epoch)
        for kind in draw(st.lists(kinds, max_size=8)):
            events.append(source.seal(source.draft(kind)))
            if forks and draw(st.integers(0, 9)) == 0:
                fork.seq = source.seq - 1
                events.append(fork.seal(sample(-1)))
    order = draw(st.permutations(events)) if events else []
    order = [event for event in order if draw(st.integers(0, 7))]
    order += draw(st.lists(st.sampled_from(order), max_size=6)) if order else []
    steps: list[list[Event] | Own] = []
    while order:
        size = draw(st.integers(1, 6))
        steps.append(order[:size])
        order = order[size:]
        if draw(st.booleans()):
            to = draw(st.lists(st.sampled_from(BELOW), max_size=2, unique=True))
            steps.append(Own(sample(1, shared=draw(st.booleans())), tuple(to), draw(st.integers(0, 4)) == 0))
    return steps


def op(step: list[Event] | Own) -> Callable[[Tx[Event]], Any]:
    """The step as an op; one that raises does so after it has changed everything."""

    def run(tx: Tx[Event]) -> Any:
        if not isinstance(step, Own):
            done = tx.record(step)
            return done.new, done.doubles, done.forks
        draft = step.draft
        if step.to:
            mail = [(path, tx.number(path)) for path in step.to]
            draft = replace(submitted("own", mail), id=draft.id, time=draft.time)
        event = tx.append(draft)
        tx.move_cursor("root", Cursor(EPOCH, tx.last_row()))
        tx.confirm("root", {Stream(OWN, LIFE): tx.last_row()})
        tx.move_place("worker", tx.last_row())
        if step.raises:
            raise LookupError
        return event

    return run


def everything(log: Reader[Event]) -> dict[str, Any]:
    """All that a log tells, without the times at which it stored."""
    events = log.events(limit=10_000)
    streams, boxes = log.streams(OWN), log.mailboxes(OWN)
    ids = (*COMMANDS, "own")
    return {
        "events": [stored.event for stored in events],
        "rows": [stored.row for stored in events],
        "streams": streams,
        "stream": {stream: log.stream(stream, after=0, limit=1000) for stream in streams},
        "mailboxes": boxes,
        "mail": {box: log.mail(box, after=0, limit=1000) for box in boxes},
        "positions": (log.cursors(), log.confirmed("root"), log.place("worker"), log.last_row()),
        "commands": [log.command(id) for id in ids],
        "targets": [replace(row, observed=None) for id in ids for row in log.targets(id)],
        "listed": [log.commands(open_only=only, target=path) for only in (True, False) for path in (None, *BELOW)],
        "unfinished": [[(row.command, event) for row, event in log.unfinished(path)] for path in BELOW],
        "unreceived": [(row.command, row.target) for row in log.unreceived("k", BELOW)],
        "open": [(row.command, row.target) for row in log.oldest_open(100)],
        "clusters": log.clusters(OWN),
    }


def is_below(path: str) -> bool:
    return path in BELOW


def model(events: Sequence[Event]) -> dict[str, Any]:
    """What a log that holds these events must say of streams and mailboxes."""
    seqs: dict[Stream, dict[int, Event]] = {}
    fills: dict[Mailbox, dict[int, tuple[Event | None, Event | None]]] = {}
    for event in events:
        if event.seq is not None and is_below(event.source):
            seqs.setdefault(Stream(event.source, event.epoch), {})[event.seq] = event
        for a in (a for a in event.to if is_below(a.path)):
            box = fills.setdefault(Mailbox(event.source, event.epoch, a.path), {})
            first, cover = box.get(a.number, (None, None))
            box[a.number] = (first or event, cover)
        for c in (c for c in event.supersedes if is_below(c.path)):
            box = fills.setdefault(Mailbox(event.source, event.epoch, c.path), {})
            first, cover = box.get(c.number, (None, None))
            box[c.number] = (first, cover if cover and (cover.seq or 0) > (event.seq or 0) else event)
    stream = {key: dense(found) for key, found in seqs.items()}
    mail = {key: [Mail(n, *fill) for n, fill in enumerate(dense(found), 1)] for key, found in fills.items()}
    return {
        "streams": {key: len(found) for key, found in stream.items()},
        "stream": stream,
        "mailboxes": {key: len(found) for key, found in mail.items()},
        "mail": mail,
    }


def dense(found: dict[int, Any]) -> list[Any]:
    out = []
    while len(out) + 1 in found:
        out.append(found[len(out) + 1])
    return out


def in_memory() -> MemoryLog[Event]:
    return MemoryLog(OWN, epoch=LIFE)


@given(batches())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_the_log_in_memory_holds_what_the_model_says(steps: list[list[Event] | Own]) -> None:
    log = in_memory()
    for step in steps:
        with contextlib.suppress(LookupError):
            log.apply(op(step))
        log.commit()
    told = log.query(everything)
    expected = model(told["events"])
    assert {name: told[name] for name in expected} == expected


@given(batches(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_what_was_not_committed_never_happened(steps: list[list[Event] | Own], random: Any) -> None:
    log, sober = in_memory(), in_memory()
    pending: list[list[Event] | Own] = []
    committed = sober.query(everything)
    for step in steps:
        try:
            log.apply(op(step))
            pending.append(step)
        except LookupError:
            pass
        assert log.query(everything) == committed
        fate = random.random()
        if fate < 0.4:
            log.commit()
            for done in pending:
                sober.apply(op(done))
            sober.commit()
            pending, committed = [], sober.query(everything)
        elif fate < 0.7:
            log.crash()
            pending = []
    log.crash()
    assert log.query(everything) == committed


async def compare(place: str, steps: list[list[Event] | Own]) -> None:
    """The real log tells what the one in memory does, also rebuilt and opened again."""
    async with open_log(place, source=OWN, decode=Event.decode, synchronous="OFF") as log:
        double = MemoryLog[Event](OWN, epoch=log.epoch)
        writes = [log.write(op(step)) for step in steps]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        for step, outcome in zip(steps, outcomes, strict=True):
            try:
                assert double.apply(op(step)) == outcome
            except LookupError:
                assert isinstance(outcome, LookupError)
            double.commit()
        expected = double.query(everything)
        assert await log.read(everything) == expected
        assert await log.write(everything) == expected
        await log.rebuild()
        assert await log.read(everything) == expected
    async with open_log(place, source=OWN, decode=Event.decode) as log:
        assert await log.write(everything) == expected


@given(batches())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_the_real_log_tells_the_same_also_reopened_and_rebuilt(steps: list[list[Event] | Own]) -> None:
    with tempfile.TemporaryDirectory() as directory, asyncio.Runner() as runner:
        runner.run(compare(str(Path(directory) / "log.db"), steps))


@given(steps=batches())
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_so_does_the_log_in_postgresql(postgres: PostgresServer, steps: list[list[Event] | Own]) -> None:
    postgres.empty()
    with asyncio.Runner() as runner:
        runner.run(compare(postgres.url, steps))


@given(batches(forks=False), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_commands_end_the_same_in_whatever_order_events_come(steps: list[list[Event] | Own], random: Any) -> None:
    first, second = in_memory(), in_memory()
    first.apply(lambda tx: [tx.record(step) for step in steps if not isinstance(step, Own)])
    events = [stored.event for stored in first.apply(lambda tx: tx.events(limit=10_000))]
    random.shuffle(events)
    second.apply(lambda tx: tx.record(events))

    def told(log: Reader[Event]) -> list[Any]:
        return [row for name in ("targets", "unfinished") for row in everything(log)[name]]

    assert first.apply(told) == second.apply(told)

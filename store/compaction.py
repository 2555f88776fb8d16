"""Retention: old events leave a log, in small steps, and nothing that somebody may still need is touched.

What stays, whatever its age or size:

- what a path ancestor has not confirmed (of sources at or below this tier), and all that is behind a hole;
- all that speaks of a command which is open here, or in doubt: its mail waits for its target;
- the finals that this tier has written itself, and the last command of each key at each target;
- the last word of each cluster, on it, and on each of its objects;
- what only this log has and a consumer has not worked on, and the last event.

What goes is remembered as a number for each stream and mailbox, a floor: up to it, what is missing was compacted
away, and counts as held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic

from store.api import Addressed, Covering, E, Entry, Log, Mailbox, Needed, Reader, Stored, Stream
from store.paths import is_under

STEP = 200
"""Events that are looked at, and at most deleted, in one transaction: a few milliseconds."""
OVERHEAD = 400
"""About so many bytes an event takes beside its body; only for what a dry run foresees."""
FAR_FUTURE = "9"

Progress = Callable[[int, int], None]
"""Called with (rows looked at, rows in all)."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of the past a log keeps: events that came in the last `older_than` seconds, and as many of the
    youngest as fit into `to_size` bytes. None: no limit."""

    older_than: float | None = None
    to_size: int | None = None

    @property
    def before(self) -> str:
        """What was stored before this time is too old (RFC 3339 text)."""
        if self.older_than is None:
            return ""
        moment = datetime.now(UTC) - timedelta(seconds=self.older_than)
        return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


@dataclass(slots=True)
class Compacted:
    """What a run did, or would do: events looked at and dropped, the bytes of their bodies, and those of the log
    that are in use after it."""

    looked: int = 0
    dropped: int = 0
    freed: int = 0
    used: int = 0


@dataclass(frozen=True, slots=True)
class Plan(Generic[E]):
    """What may go, as of one moment. A number here only grows, and what is settled stays so: what was true at that
    moment is true when the events go."""

    source: str
    last: int
    streams: dict[Stream, int]
    mailboxes: dict[Mailbox, int]
    needed: Needed

    def may_go(self, stored: Stored[E]) -> bool:
        """Whether nobody needs the event any more."""
        event = stored.event
        if stored.row >= self.last or (event.source, event.epoch, event.seq) in self.needed.places:
            return False
        if event.seq is None and stored.row > self.needed.worked:
            return False
        is_below = event.seq is not None and is_under(event.source, self.source)
        if is_below and (event.seq or 0) > self.streams.get(Stream(event.source, event.epoch), 0):
            return False
        if not self.needed.commands.isdisjoint(commands_of(event)):
            return False
        return all(number <= self.mailboxes.get(box, 0) for box, number in self._numbers(event))

    def _numbers(self, event: Entry) -> Iterator[tuple[Mailbox, int]]:
        entries: list[Addressed | Covering] = [*event.to, *event.supersedes]
        for each in entries:
            if is_under(each.path, self.source):
                yield Mailbox(event.source, event.epoch, each.path), each.number


def make_plan(reader: Reader[E]) -> Plan[E]:
    """What may go as of now: of what is held without a hole, that which every path ancestor holds too."""
    streams = reader.streams(reader.source)
    for ancestor in _ancestors(reader.source):
        theirs = reader.confirmed(ancestor)
        streams = {stream: min(held, theirs.get(stream, 0)) for stream, held in streams.items()}
    return Plan(reader.source, reader.last_row(), streams, reader.mailboxes(reader.source), reader.needed())


def _ancestors(path: str) -> Iterator[str]:
    while path := path.rpartition(".")[0]:
        yield path


def commands_of(event: Entry) -> Iterator[str]:
    """The commands that an event speaks of."""
    said = event.data.get("command")
    many = event.data.get("commands")
    for command in (said, *(many if isinstance(many, (list, tuple)) else ())):
        if isinstance(command, str):
            yield command
    for cover in event.supersedes:
        yield cover.command


def stands_for_body(reader: Reader[E], event: Entry) -> bool:
    """Whether a body is still here for which the event stands: alone it would be carried out where it is asked for."""
    for cover in event.supersedes:
        if is_under(cover.path, reader.source):
            box = Mailbox(event.source, event.epoch, cover.path)
            here = reader.mail(box, after=cover.number - 1, limit=1)
            if here and here[0].number == cover.number and here[0].event is not None:
                return True
    return False


async def compact(
    log: Log[E],
    retention: Retention,
    *,
    dry_run: bool = False,
    pause: float = 0.0,
    progress: Progress = lambda done, of: None,
) -> Compacted:
    """Drops what is too old, then the oldest until the log is small enough, as far as it may go. Between steps it
    sleeps `pause` seconds."""
    plan = await log.read(make_plan)
    done = Compacted(used=await _used(log))
    sweep = _Sweep(log, plan, done, dry_run, pause, progress, done.used)
    if retention.older_than is not None:
        await sweep.run(retention.before, None)
    if retention.to_size is not None:
        await sweep.run(FAR_FUTURE, retention.to_size)
    return done


async def _used(log: Log[E]) -> int:
    return await log.read(lambda reader: reader.used())


@dataclass(slots=True)
class _Sweep(Generic[E]):
    """Goes through a log from its beginning, step by step."""

    log: Log[E]
    plan: Plan[E]
    done: Compacted
    dry_run: bool
    pause: float
    progress: Progress
    measured: int
    row: int = 0

    async def run(self, before: str, to_size: int | None) -> None:
        """Drops what came before a time, while the log is larger than `to_size`."""
        while to_size is None or self.done.used > to_size:
            batch, going = await self.log.read(lambda reader: self._look(reader, before))
            if not batch:
                break
            self.row = batch[-1].row
            self.done.looked += len(batch)
            await self._drop(going)
            self.progress(self.row, self.plan.last)
            await asyncio.sleep(self.pause)
        self.progress(self.plan.last, self.plan.last)

    def _look(self, reader: Reader[E], before: str) -> tuple[list[Stored[E]], list[Stored[E]]]:
        batch = reader.aged(after=self.row, before=before, limit=STEP)
        return batch, [each for each in batch if self.plan.may_go(each) and not stands_for_body(reader, each.event)]

    async def _drop(self, going: list[Stored[E]]) -> None:
        if not going:
            return
        freed = sum(len(stored.event.body) + OVERHEAD for stored in going)
        self.done.dropped += len(going)
        self.done.freed += freed
        if self.dry_run:
            self.done.used -= freed
            return
        await self.log.write(lambda tx: tx.drop(going, through=self.row), long=True)
        measured = await _used(self.log)
        # A database that gives back nothing before it comes to clean up says nothing new: then the estimate counts.
        self.done.used = measured if measured < self.measured else self.done.used - freed
        self.measured = measured

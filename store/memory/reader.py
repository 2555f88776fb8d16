"""Reads of the log in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic

import msgpack

from store.api import (
    ClusterRow,
    CommandRow,
    Cursor,
    E,
    Guarantee,
    KeyRow,
    Mail,
    Mailbox,
    Needed,
    ObjectRow,
    Stored,
    Stream,
    TargetRow,
)
from store.lives import is_of_another
from store.memory.state import MemoryTables, State
from store.paths import is_under, subject_pattern
from store.projections.clusters import CLUSTERS, WHEREABOUTS
from store.projections.commands import COMMANDS, FINALS, RUNNING, SETTLED, TARGETS, WAITING, WAYPOINTS, Target
from store.projections.keys import KEYS, key_row
from store.projections.objects import OBJECTS
from store.projections.observed import OBJECTS as OBSERVED
from store.projections.observed import TELLERS, object_row
from store.projections.views import cluster_row, command_row, target_row


class MemoryReader(Generic[E]):
    """`store.api.Reader` over dictionaries: simple, and linear in what is stored."""

    def __init__(self, state: State[E], epoch: str) -> None:
        self.source = state.source
        self.epoch = epoch
        self._state = state
        tables = MemoryTables(state)
        self._commands = tables.rows(COMMANDS).records
        self._targets = tables.rows(TARGETS).records
        self._waypoints = tables.rows(WAYPOINTS).records
        self._clusters = tables.rows(CLUSTERS).records
        self._whereabouts = tables.rows(WHEREABOUTS).records
        self._keys = tables.rows(KEYS).records
        self._objects = tables.rows(OBJECTS).records
        self._observed = tables.rows(OBSERVED).records
        self._tellers = tables.rows(TELLERS).records

    def last_row(self) -> int:
        return self._state.last_row

    def event(self, id: str) -> E | None:
        row = self._state.ids.get(id)
        return None if row is None else self._state.rows[row].event

    def events(
        self,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int = 100,
        types: Sequence[str] = (),
        source: str | None = None,
        subject: str | None = None,
        since: str | None = None,
        until: str | None = None,
        latest: bool = False,
    ) -> list[Stored[E]]:
        pattern = subject_pattern(subject) if subject is not None else None
        scope = source.removeprefix("under:") if source is not None else ""
        found: list[Stored[E]] = []
        end = self.last_row() + 1
        rows = range(after + 1, end if before is None else min(before, end))
        for row in reversed(rows) if latest else rows:
            if len(found) >= limit:
                break
            if row not in self._state.rows:
                continue  # compacted away
            event = self._state.rows[row].event
            if (
                (not types or event.type in types)
                and (source is None or event.source == scope or (source != scope and is_under(event.source, scope)))
                and (pattern is None or pattern.fullmatch(event.subject))
                and (since is None or event.time >= since)
                and (until is None or event.time <= until)
            ):
                found.append(self._state.rows[row])
        return found[::-1] if latest else found

    def stream(self, stream: Stream, *, after: int, limit: int) -> list[E]:
        found: list[E] = []
        while len(found) < limit:
            after += 1
            if row := self._state.places.get((stream, after)):
                found.append(self._state.rows[row].event)
            elif after > self._state.floors.get(stream, 0):
                break
        return found

    def latest_of(self, source: str, *, before: str | None = None) -> E | None:
        places = [
            (stream.epoch, seq, row)
            for (stream, seq), row in self._state.places.items()
            if stream.source == source and (before is None or stream.epoch < before)
        ]
        return self._state.rows[max(places)[-1]].event if places else None

    def last_at(self, stream: Stream, seq: int) -> E | None:
        places = [(place, row) for (there, place), row in self._state.places.items() if there == stream]
        row = max((each for each in places if each[0] <= seq), default=None)
        return self._state.rows[row[1]].event if row else None

    def quarantined(self, source: str, limit: int) -> list[E]:
        found = [e for e in self._state.quarantine.values() if e.source == source and e.seq is not None]
        found.sort(key=lambda event: event.seq or 0)
        return sorted(found, key=lambda event: event.epoch, reverse=True)[:limit]

    def top_of(self, stream: Stream) -> int:
        return max((seq for there, seq in self._state.places if there == stream), default=0)

    def streams(self, under: str) -> dict[Stream, int]:
        return {s: p.held for s, p in self._state.streams.items() if is_under(s.source, under)}

    def mailboxes(self, under: str) -> dict[Mailbox, int]:
        return {m: p.held for m, p in self._state.boxes.items() if is_under(m.target, under)}

    def mail(self, mailbox: Mailbox, *, after: int, limit: int) -> list[Mail[E]]:
        found: list[Mail[E]] = []
        while len(found) < limit:
            after += 1
            if fill := self._state.fills.get((mailbox, after)):
                found.append(Mail(after, self._at(fill.event), self._at(fill.cover)))
            elif after > self._state.floors.get(mailbox, 0):
                break
        return found

    def _at(self, row: int | None) -> E | None:
        stored = None if row is None else self._state.rows.get(row)
        return stored.event if stored else None

    def floors(self, under: str) -> dict[Stream, int]:
        streams = {s: n for s, n in self._state.floors.items() if isinstance(s, Stream)}
        return {s: n for s, n in streams.items() if is_under(s.source, under) and is_under(s.source, self.source)}

    def mail_floors(self, under: str) -> dict[Mailbox, int]:
        return {b: n for b, n in self._state.floors.items() if isinstance(b, Mailbox) and is_under(b.target, under)}

    def aged(self, *, after: int, before: str, limit: int) -> list[Stored[E]]:
        found = [
            stored
            for row, stored in self._state.rows.items()
            if row > after
            and self._state.stored_at[row] < before
            and not (stored.event.source == self.source and stored.event.type in FINALS)
        ]
        return sorted(found, key=lambda stored: stored.row)[:limit]

    def needed(self) -> Needed:
        wishes: dict[tuple[str, str | None, str], tuple[int, str]] = {}
        for t in self._targets.values():
            if t.key is not None and t.command_row is not None:
                wish = (t.origin, t.key, t.target)
                wishes[wish] = max(wishes.get(wish, (0, "")), (t.command_row, t.command))
        commands = {t.command for t in self._targets.values() if t.phase < SETTLED}
        commands |= {command for _, command in wishes.values()}
        places: set[tuple[str, str, int | None]] = {(c.path, c.epoch, c.seq) for c in self._clusters.values()}
        places |= {(o.cluster, o.epoch, o.seq) for o in self._observed.values()}
        places |= {(w.path, w.epoch, w.seq) for w in self._whereabouts.values()}
        places |= {(c.judge, c.judged_epoch, c.judged_seq) for c in self._clusters.values() if c.judge}
        consumers = self._state.consumers.items()
        worked = min((row for name, row in consumers if not is_of_another(name, self.epoch)), default=self.last_row())
        return Needed(frozenset(commands), frozenset(places), worked)

    def cursors(self) -> dict[str, Cursor]:
        return dict(self._state.cursors)

    def confirmed(self, neighbour: str) -> dict[Stream, int]:
        return {stream: held for (name, stream), held in self._state.neighbours.items() if name == neighbour}

    def guarantees(self) -> list[Guarantee]:
        return []

    def place(self, consumer: str) -> int:
        return self._state.consumers.get(consumer, 0)

    def command(self, id: str) -> CommandRow | None:
        command = self._commands.get((id,))
        return command_row(command) if command else None

    def targets(self, command: str, *, after: str = "", limit: int = 100) -> list[TargetRow]:
        keys = sorted(key for key in self._targets if key[0] == command and key[1] > after)
        return [self._row(self._targets[key]) for key in keys[:limit]]

    def target(self, command: str, target: str) -> TargetRow | None:
        found = self._targets.get((command, target))
        return self._row(found) if found else None

    def _row(self, target: Target) -> TargetRow:
        points = [point for point in self._waypoints.values() if point.command == target.command]
        return target_row(target, points, self._at(target.final_row))

    def unreceived(self, key: str, targets: Sequence[str]) -> list[TargetRow]:
        found = [
            target
            for target in self._targets.values()
            if target.phase == WAITING
            and (target.key, target.origin, target.epoch) == (key, self.source, self.epoch)
            and target.target in targets
        ]
        return [self._row(target) for target in sorted(found, key=lambda t: (t.target, t.number))]

    def unfinished(
        self, target: str, *, after: tuple[str, int] = ("", 0), limit: int | None = None
    ) -> list[tuple[TargetRow, E]]:
        running = [t for t in self._targets.values() if t.target == target and t.phase == RUNNING and t.received]
        later = sorted((t for t in running if t.received_at > after), key=lambda t: t.received_at)
        pairs = ((t, self._at(t.submitted_row)) for t in later)
        return [(self._row(t), event) for t, event in pairs if event is not None][:limit]

    def commands(
        self,
        *,
        target: str | None = None,
        open_only: bool = False,
        limit: int = 100,
        before: str | None = None,
    ) -> list[CommandRow]:
        wanted = {
            t.command
            for t in self._targets.values()
            if t.command_row is not None and target in (None, t.target) and (not open_only or t.phase < SETTLED)
        }
        every = target is None and not open_only
        last = self._commands.get((before,)) if before is not None else None
        found = [
            command
            for command in self._commands.values()
            if (every or command.id in wanted) and (last is None or command.row < last.row)
        ]
        found.sort(key=lambda command: -command.row)
        return [command_row(command) for command in found[:limit]]

    def summary(self, command: str) -> dict[str, int]:
        return _tally(t for t in self._targets.values() if t.command == command)

    def oldest_open(self, limit: int = 10, *, state: str | None = None) -> list[TargetRow]:
        found = [
            (t.command_row, t.target, t)
            for t in self._targets.values()
            if t.phase < SETTLED and t.command_row is not None and state in (None, t.state)
        ]
        found.sort(key=lambda item: item[:2])
        return [self._row(t) for _, _, t in found[:limit]]

    def waiting(self) -> dict[str, tuple[int, str]]:
        found: dict[str, tuple[int, str]] = {}
        for t in self._targets.values():
            if t.phase == WAITING and t.accepted is not None:
                count, oldest = found.get(t.target, (0, t.accepted))
                found[t.target] = (count + 1, min(oldest, t.accepted))
        return found

    def counts(self) -> dict[str, Any]:
        return {
            "events": len(self._state.rows),
            "commands": len(self._commands),
            "targets": _tally(self._targets.values()),
            "bytes": self.used(),
            "reclaimable": 0,
            "oldest": min((self._state.stored_at[row] for row in self._state.rows), default=None),
        }

    def used(self) -> int:
        return sum(len(stored.event.body) for stored in self._state.rows.values())

    def clusters(self, under: str) -> list[ClusterRow]:
        paths = sorted(path for (path,) in self._clusters if is_under(path, under))
        return [cluster_row(self._clusters[(path,)], self._whereabouts.get((path,))) for path in paths]

    def cluster(self, path: str) -> ClusterRow | None:
        found = self._clusters.get((path,))
        return cluster_row(found, self._whereabouts.get((path,))) if found else None

    def keys(self, under: str) -> list[KeyRow]:
        return [key_row(found) for _, found in sorted(self._keys.items()) if is_under(found.path, under)]

    def objects(
        self, *, kind: str | None = None, namespace: str | None = None, name: str | None = None
    ) -> list[dict[str, Any]]:
        return [
            msgpack.unpackb(found.manifest)
            for _, found in sorted(self._objects.items())
            if kind in (None, found.kind) and namespace in (None, found.namespace) and name in (None, found.name)
        ]

    def object(self, api_version: str, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        found = self._objects.get((kind, namespace, name, api_version))
        return msgpack.unpackb(found.manifest) if found else None

    def observed(
        self,
        cluster: str,
        *,
        kind: str | None = None,
        namespace: str | None = None,
        name: str | None = None,
        after: tuple[str, str, str, str, str] | None = None,
        limit: int = 100,
        gone: bool = False,
    ) -> list[ObjectRow]:
        begun = {key[1]: teller.epoch for key, teller in self._tellers.items() if key[0] == cluster}
        rows = [
            object_row(found)
            for key, found in sorted(self._observed.items())
            if key[0] == cluster
            and (after is None or key[1:] > after)
            and found.epoch >= begun.get(found.shim, "")
            and (gone or not found.gone)
            and kind in (None, found.kind)
            and namespace in (None, found.namespace)
            and name in (None, found.name)
        ]
        return rows[:limit]


def _tally(targets: Any) -> dict[str, int]:
    tally: dict[str, int] = {}
    for target in targets:
        tally[target.state] = tally.get(target.state, 0) + 1
    return tally

"""Reads of a log in an SQL database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any, Generic

import msgpack
import sqlalchemy as sa

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
from store.paths import is_under, subject_pattern
from store.projections.clusters import Cluster, Whereabouts
from store.projections.commands import Command, Target, Waypoint
from store.projections.keys import Key, key_row
from store.projections.objects import OBJECTS
from store.projections.observed import Observed, object_row
from store.projections.views import cluster_row, command_row, target_row
from store.sql import queries, views
from store.sql.backend import Session
from store.sql.queries import span
from store.sql.schema import EVENTS, RECORD_TABLES
from store.sql.statements import Query

LATEST = 2**62
"""A row number beyond all."""

_CLUSTER_COLUMNS = len(fields(Cluster))

AFTER_ALL = "~"
"""Sorts after every epoch."""
FEW = 16
"""Up to so many are asked for one by one; for more, all are read and what is wanted is picked."""


class Behind(Exception):
    """What follows from the events was asked, and does not tell of the last ones yet."""


class SqlReader(Generic[E]):
    """`store.api.Reader` over one session, within one transaction. Where it is asked for what follows from the
    events, and that lags, it raises Behind, unless it is `patient`."""

    def __init__(
        self, session: Session, source: str, epoch: str, decode: Callable[[bytes], E], *, patient: bool = False
    ) -> None:
        self.source = source
        self.epoch = epoch
        self._session = session
        self._decode = decode
        self._is_current = patient

    def _settle(self) -> None:
        """Makes visible to queries what this transaction did."""

    def _follow(self) -> None:
        """Makes sure that projections tell of all events."""
        if not self._is_current:
            if self._session.one(queries.LAG)[0]:
                raise Behind
            self._is_current = True

    def _all(self, query: Query, *parameters: Any) -> list[Any]:
        self._settle()
        return self._session.all(query, *parameters)

    def _one(self, query: Query, *parameters: Any) -> Any:
        self._settle()
        return self._session.one(query, *parameters)

    def _seen(self, query: Query, *parameters: Any) -> list[Any]:
        """All rows of what follows from the events."""
        self._follow()
        return self._session.all(query, *parameters)

    def last_row(self) -> int:
        return self._one(queries.LAST_ROW)[0] or 0

    def event(self, id: str) -> E | None:
        found = self._one(queries.EVENT, id)
        return self._decode(found[0]) if found else None

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
        self._settle()
        e = EVENTS.c
        order = e.row.desc() if latest else e.row
        wanted = sa.select(e.row, e.subject, e.body).where(e.row > after).order_by(order)
        if before is not None:
            wanted = wanted.where(e.row < before)
        if types:
            wanted = wanted.where(e.type.in_(types))
        if source is not None:
            scope = source.removeprefix("under:")
            low, high = span(scope)[1:]
            below = sa.and_(e.source >= low, e.source < high)
            wanted = wanted.where(e.source == scope if scope == source else sa.or_(e.source == scope, below))
        if since is not None:
            wanted = wanted.where(e.time >= since)
        if until is not None:
            wanted = wanted.where(e.time <= until)
        if subject is None:
            rows: Iterable[Any] = self._session.connection.execute(wanted.limit(limit))
            found = [Stored(row, self._decode(body)) for row, _, body in rows]
        else:
            found = self._matching(wanted, subject, limit)
        return found[::-1] if latest else found

    def _matching(self, wanted: sa.Select[Any], subject: str, limit: int) -> list[Stored[E]]:
        """The database narrows by what stands before the first wildcard; the rest is matched here."""
        literal = subject.partition("*")[0].partition(">")[0]
        pattern = subject_pattern(subject)
        found: list[Stored[E]] = []
        with self._session.connection.execute(
            wanted.where(EVENTS.c.subject.startswith(literal, autoescape=True)).execution_options(stream_results=True)
        ) as rows:
            for row, name, body in rows:
                if len(found) >= limit:
                    break
                if pattern.fullmatch(name):
                    found.append(Stored(row, self._decode(body)))
        return found

    def stream(self, stream: Stream, *, after: int, limit: int) -> list[E]:
        rows = self._all(queries.STREAM, *stream, after, limit)
        return [self._decode(body) for _, body in self._dense(rows, after, *stream, "")]

    def latest_of(self, source: str, *, before: str | None = None) -> E | None:
        found = self._one(queries.LATEST_OF, source, AFTER_ALL if before is None else before, 1)
        return self._decode(found[0]) if found else None

    def last_at(self, stream: Stream, seq: int) -> E | None:
        found = self._one(queries.LAST_AT, *stream, seq, 1)
        return self._decode(found[0]) if found else None

    def quarantined(self, source: str, limit: int) -> list[E]:
        return [self._decode(body) for (body,) in self._all(queries.QUARANTINED, source, limit)]

    def top_of(self, stream: Stream) -> int:
        return self._one(queries.TOP_OF, *stream)[0] or 0

    def _dense(self, rows: list[Any], after: int, source: str, epoch: str, target: str) -> list[Any]:
        """Rows that begin with a number, up to the first hole; what was compacted away is none."""
        if not rows or rows[-1][0] == after + len(rows):
            return rows
        found = self._session.one(queries.FLOOR, source, epoch, target)
        floor = found[0] if found else 0
        dense = []
        for row in rows:
            if row[0] > max(after, floor) + 1:
                break
            dense.append(row)
            after = row[0]
        return dense

    def floors(self, under: str) -> dict[Stream, int]:
        rows = self._all(queries.FLOORS)
        return {Stream(s, epoch): n for s, epoch, target, n in rows if not target and self._is_both(s, under)}

    def mail_floors(self, under: str) -> dict[Mailbox, int]:
        rows = self._all(queries.FLOORS)
        return {Mailbox(o, epoch, t): n for o, epoch, t, n in rows if t and is_under(t, under)}

    def _is_both(self, path: str, under: str) -> bool:
        return self._is_mine(path) and is_under(path, under)

    def aged(self, *, after: int, before: str, limit: int) -> list[Stored[E]]:
        rows = self._all(queries.AGED, after, before, self.source, limit)
        return [Stored(row, self._decode(body)) for row, body in rows]

    def needed(self) -> Needed:
        commands = {command for query in (views.OPEN, views.LAST_OF_KEY) for (command,) in self._seen(query)}
        places: set[tuple[str, str, int | None]] = set()
        for path, epoch, seq, judge, judged_epoch, judged_seq in self._seen(views.LAST_WORDS):
            places |= {(path, epoch, seq), (judge, judged_epoch, judged_seq)}
        places.update(map(tuple, self._seen(views.ATTACHED_AT)))
        places.update(map(tuple, self._seen(views.OBSERVED_AT)))
        worked = [
            row
            for consumer, row in self._all(queries.PLACES)
            if not consumer.startswith(queries.SNAPSHOT_OF) and not is_of_another(consumer, self.epoch)
        ]
        return Needed(frozenset(commands), frozenset(places), min(worked, default=LATEST))

    def streams(self, under: str) -> dict[Stream, int]:
        rows = self._seen(queries.STREAMS, *span(under))
        return {Stream(source, epoch): held for source, epoch, held in rows if self._is_mine(source)}

    def _is_mine(self, path: str) -> bool:
        return path == self.source or path.startswith(self.source + ".")

    def mailboxes(self, under: str) -> dict[Mailbox, int]:
        rows = self._seen(queries.MAILBOXES, *span(under))
        return {Mailbox(origin, epoch, target): held for origin, epoch, target, held in rows}

    def mail(self, mailbox: Mailbox, *, after: int, limit: int) -> list[Mail[E]]:
        rows = self._seen(queries.MAIL, *mailbox, after, limit)
        return [
            Mail(number, self._decode(event) if event else None, self._decode(cover) if cover else None)
            for number, event, cover in self._dense(rows, after, *mailbox)
        ]

    def cursors(self) -> dict[str, Cursor]:
        return {origin: Cursor(epoch, number) for origin, epoch, number in self._all(queries.CURSORS)}

    def confirmed(self, neighbour: str) -> dict[Stream, int]:
        return {Stream(source, epoch): seq for source, epoch, seq in self._all(queries.CONFIRMED, neighbour)}

    def guarantees(self) -> list[Guarantee]:
        return [Guarantee(*row) for row in self._all(queries.GUARANTEES)]

    def place(self, consumer: str) -> int:
        found = self._one(queries.PLACE, consumer)
        return int(found[0]) if found else 0

    def command(self, id: str) -> CommandRow | None:
        found = self._seen(views.COMMAND, id)
        return command_row(Command(*found[0])) if found else None

    def targets(self, command: str, *, after: str = "", limit: int = 100) -> list[TargetRow]:
        return self._target_rows(self._seen(views.TARGETS, command, after, limit))

    def target(self, command: str, target: str) -> TargetRow | None:
        found = self._target_rows(self._seen(views.TARGET, command, target))
        return found[0] if found else None

    def _target_rows(self, rows: Iterable[Any]) -> list[TargetRow]:
        points: dict[str, list[Waypoint]] = {}
        found = []
        for *values, final in rows:
            target = Target(*values)
            if target.command not in points:
                points[target.command] = self._waypoints(target.command)
            found.append(target_row(target, points[target.command], self._decode(final) if final else None))
        return found

    def _waypoints(self, command: str) -> list[Waypoint]:
        return [Waypoint(*row) for row in self._session.all(views.WAYPOINTS, command)]

    def unreceived(self, key: str, targets: Sequence[str]) -> list[TargetRow]:
        mine, wanted = (key, self.source, self.epoch), sorted(set(targets))
        if len(wanted) > FEW:
            rows = self._target_rows(self._seen(views.UNRECEIVED, *mine))
            chosen = set(wanted)
            return [row for row in rows if row.target in chosen]
        return [row for target in wanted for row in self._target_rows(self._seen(views.UNRECEIVED_BY, *mine, target))]

    def unfinished(
        self, target: str, *, after: tuple[str, int] = ("", 0), limit: int = LATEST
    ) -> list[tuple[TargetRow, E]]:
        rows = self._seen(views.UNFINISHED, target, *after, limit)
        plain = self._target_rows((*values, None) for *values, _ in rows)
        return [(row, self._decode(values[-1])) for row, values in zip(plain, rows, strict=True)]

    def commands(
        self,
        *,
        target: str | None = None,
        open_only: bool = False,
        limit: int = 100,
        before: str | None = None,
    ) -> list[CommandRow]:
        last = self._seen(views.COMMAND, before) if before is not None else None
        start = Command(*last[0]).row if last else LATEST
        if target is not None:
            rows = self._seen(views.OPEN_COMMANDS_OF if open_only else views.COMMANDS_OF, start, target, limit)
        else:
            rows = self._seen(views.OPEN_COMMANDS if open_only else views.COMMANDS, start, limit)
        return [command_row(Command(*row)) for row in rows]

    def summary(self, command: str) -> dict[str, int]:
        return dict(self._seen(views.SUMMARY, command))

    def oldest_open(self, limit: int = 10, *, state: str | None = None) -> list[TargetRow]:
        if state is None:
            return self._target_rows(self._seen(views.OLDEST_OPEN, limit))
        return self._target_rows(self._seen(views.OLDEST_IN, state, limit))

    def waiting(self) -> dict[str, tuple[int, str]]:
        return {target: (count, oldest) for target, count, oldest in self._seen(views.WAITING_TARGETS)}

    def counts(self) -> dict[str, Any]:
        return {
            "events": self._one(queries.EVENT_COUNT)[0],
            "commands": self._seen(views.COMMAND_COUNT)[0][0],
            "targets": dict(self._seen(views.STATES)),
            "bytes": self._session.size(),
            "reclaimable": self._session.free(),
            "oldest": next((stored_at for (stored_at,) in self._all(queries.OLDEST, 1)), None),
        }

    def used(self) -> int:
        self._settle()
        return self._session.used()

    def clusters(self, under: str) -> list[ClusterRow]:
        return [_cluster(row) for row in self._seen(views.CLUSTERS, *span(under))]

    def cluster(self, path: str) -> ClusterRow | None:
        found = self._seen(views.CLUSTER, path)
        return _cluster(found[0]) if found else None

    def keys(self, under: str) -> list[KeyRow]:
        return [key_row(Key(*row)) for row in self._seen(views.KEYS_UNDER, *span(under))]

    def objects(
        self, *, kind: str | None = None, namespace: str | None = None, name: str | None = None
    ) -> list[dict[str, Any]]:
        self._follow()
        o = RECORD_TABLES[OBJECTS.name].c
        wanted = sa.select(o.manifest).order_by(o.kind, o.namespace, o.name, o.api_version)
        for column, value in ((o.kind, kind), (o.namespace, namespace), (o.name, name)):
            if value is not None:
                wanted = wanted.where(column == value)
        return [msgpack.unpackb(manifest) for (manifest,) in self._session.connection.execute(wanted)]

    def object(self, api_version: str, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        found = self._seen(views.OBJECT, kind, namespace, name, api_version)
        return msgpack.unpackb(found[0][0]) if found else None

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
        self._follow()
        wanted = views.observed(cluster, kind, namespace, name, after, gone).limit(limit)
        return [object_row(Observed(*row)) for row in self._session.connection.execute(wanted)]


def _cluster(row: Sequence[Any]) -> ClusterRow:
    """The cluster in a row of `views.CLUSTERS`."""
    where = row[_CLUSTER_COLUMNS:]
    return cluster_row(Cluster(*row[:_CLUSTER_COLUMNS]), Whereabouts(*where) if where[0] is not None else None)

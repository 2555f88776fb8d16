"""`ote store verify`: is a log whole, and does what it derived from its events follow from them?

A file is checked where it is, and copied; what is in another database is read row by row into a file.
The rest is done on the copy, so that a running tier is not disturbed. All that is derived (positions,
mailboxes, projections) is made anew from the events in a second copy, and compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from store.api import Entry, KeyRow
from store.errors import LogDamaged, StoreError
from store.projections.catalogue import projections
from store.projections.keys import KEYS, Key, key_row
from store.sql import queries
from store.sql.backend import Database, Session, plain
from store.sql.ledger import Ledger
from store.sql.open import prepare
from store.sql.projector import Projector
from store.sql.records import BOXES, FILLS, FLOORS, STREAMS
from store.sql.schema import EVENTS, RECORD_TABLES
from store.sql.sqlite import SqliteDatabase
from store.sql.where import database_at

MOST = 100
"""Findings of one kind that are told one by one."""

Progress = Callable[[str, int, int], None]
"""Called with (step, done, of)."""

Vouch = Callable[[Sequence[KeyRow]], Callable[[Entry], str | None]]
"""Given the keys that a log tells of, what says what is wrong with the signature of an event of others' or one that
others see; None if nothing is."""

_ATTRIBUTES = ("id", "source", "epoch", "seq", "type", "subject", "time", "cause", "actor", "expiresat", "checksum")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it must be: in the `file`, an `event`, or a derived table of this name;
    `where` names the row or record, `what` says what is wrong."""

    kind: str
    where: str
    what: str


def verify(
    where: str | Path,
    decode: Callable[[bytes], Entry],
    progress: Progress = lambda step, done, of: None,
    *,
    source: str | None = None,
    vouch: Vouch | None = None,
) -> list[Finding]:
    """What is wrong with the log in this file or database (that of `source`, where several are in one); empty if
    nothing is. With `vouch` it checks signatures too. Blocks: run it in a thread. StoreError where there is no log."""
    database = database_at(where, source)
    if isinstance(database, SqliteDatabase) and not database.path.exists():
        return [Finding("file", database.where, "does not exist")]
    with tempfile.TemporaryDirectory(prefix="ote-verify-") as scratch:
        kept, made = Path(scratch) / "kept.db", Path(scratch) / "made.db"
        try:
            findings = _check_file(database, kept, made, progress)
            return findings or _check_content(kept, made, decode, progress, vouch)
        except database.errors as error:
            if not (database.is_near or database.is_damage(error)):
                raise StoreError(f"{database.where}: {plain(error)}") from error
            return [Finding("file", database.where, plain(error))]
        except LogDamaged as error:
            return [Finding("file", database.where, str(error))]


def _check_file(database: Database, kept: Path, made: Path, progress: Progress) -> list[Finding]:
    progress("file", 0, 1)
    with closing(database.session()) as session:
        broken = session.integrity()
    if not broken:
        database.copy(kept)
        # From the first copy: a log in use has grown since.
        SqliteDatabase(kept).copy(made)
    progress("file", 1, 1)
    return [Finding("file", database.where, line) for line in broken]


def _check_content(
    kept: Path, made: Path, decode: Callable[[bytes], Entry], progress: Progress, vouch: Vouch | None
) -> list[Finding]:
    sessions = [SqliteDatabase(each, "OFF").session() for each in (kept, made)]
    try:
        for session in sessions:
            session.begin_write()
            prepare(session)
            session.commit()
        findings = list(islice(_check_events(sessions[0], decode, progress), MOST))
        if findings:
            # What follows from events that are not sound says nothing.
            return findings
        _follow(sessions[0], decode)
        if vouch is not None:
            findings += islice(_check_signatures(sessions[0], decode, progress, vouch), MOST)
        _make(sessions[1], decode, progress)
        derived = _derived()
        for number, (name, statement, key) in enumerate(derived, 1):
            findings += islice(_compare(name, statement, key, *sessions), MOST)
            progress("compare", number, len(derived))
        return findings
    finally:
        for session in sessions:
            session.close()


def _check_events(session: Session, decode: Callable[[bytes], Entry], progress: Progress) -> Iterator[Finding]:
    last = session.one(queries.LAST_ROW)[0] or 0
    columns = [EVENTS.c[name] for name in ("row", "body", *_ATTRIBUTES)]
    for row, body, *stored in session.connection.execute(sa.select(*columns).order_by(EVENTS.c.row)):
        if row % 1000 == 0 or row == last:
            progress("events", row, last)
        try:
            event = decode(body)
        except Exception as error:
            yield Finding("event", f"row {row}", f"its body cannot be read: {error}")
            continue
        for name, value in zip(_ATTRIBUTES, stored, strict=True):
            if getattr(event, name) != value:
                yield Finding("event", f"row {row}", f"{name} is {value!r}, the body says {getattr(event, name)!r}")


def _check_signatures(
    session: Session, decode: Callable[[bytes], Entry], progress: Progress, vouch: Vouch
) -> Iterator[Finding]:
    keys = [key_row(Key(*row)) for row in session.connection.execute(sa.select(RECORD_TABLES[KEYS.name]))]
    fault_of = vouch(keys)
    last = session.one(queries.LAST_ROW)[0] or 0
    shared = sa.select(EVENTS.c.row, EVENTS.c.body).where(EVENTS.c.seq.is_not(None)).order_by(EVENTS.c.row)
    for row, body in session.connection.execute(shared):
        if row % 1000 == 0:
            progress("signatures", row, last)
        event = decode(body)
        if (fault := fault_of(event)) is not None:
            yield Finding("event", f"row {row}", f"{fault}: {event.source} has not said it as it stands here")
    progress("signatures", last, last)


def _follow(session: Session, decode: Callable[[bytes], Entry]) -> None:
    """Folds what the writer had not come to: projections may be behind, not wrong. What another version has folded
    is made anew, as when the log is opened."""
    ledger = _ledger(session, decode)
    ledger.begin()
    for projection in ledger.projector.outdated(ledger):
        ledger.projector.rebuild(ledger, projection)
    ledger.flush()
    ledger.commit()


def _ledger(session: Session, decode: Callable[[bytes], Entry]) -> Ledger[Entry]:
    lives = RECORD_TABLES["lives"].c
    source = session.connection.execute(sa.select(lives.source).order_by(lives.epoch.desc()).limit(1)).scalar()
    return Ledger(session, source or "", Projector(projections(source or ""), decode))


def _make(session: Session, decode: Callable[[bytes], Entry], progress: Progress) -> None:
    """Makes anew all that is derived, from the events."""
    ledger = _ledger(session, decode)
    projector = ledger.projector
    ledger.begin()
    ledger.empty_positions()
    for batch in projector.batches(session, 0, ledger.last_row):
        for filed in batch:
            ledger.refile(filed.row, filed.event)
        ledger.spill()
        progress("positions", batch[-1].row, ledger.last_row)
    for projection in projector.projections:
        projector.rebuild(ledger, projection, partial(progress, projection.name))
    ledger.commit()


def _derived() -> list[tuple[str, sa.Select[Any], int]]:
    """For each derived table its rows in the order of their key, and the length of the key."""
    boxes, fills = RECORD_TABLES[BOXES.name].c, RECORD_TABLES[FILLS.name].c
    box = (boxes.origin, boxes.epoch, boxes.target)
    # Rows of `fills` are named by the mailbox's key, since its short name is given by chance.
    # Where a body is gone, of several covers of one number the latest may be gone too.
    floors = RECORD_TABLES[FLOORS.name].c
    same = (floors.source == boxes.origin, floors.epoch == boxes.epoch, floors.target == boxes.target)
    floor = sa.func.coalesce(sa.select(floors.number).where(*same).scalar_subquery(), 0)
    told = sa.or_(fills.event.is_not(None), fills.number > floor)
    contents = sa.select(*box, fills.number, fills.event, fills.cover).where(fills.box == boxes.id, told)
    found = [
        (BOXES.name, sa.select(*box, boxes.held, boxes.top).order_by(*box), len(box)),
        (FILLS.name, contents.order_by(*box, fills.number), len(box) + 1),
    ]
    for name in (STREAMS.name, *(table.name for projection in projections("") for table in projection.tables)):
        table = RECORD_TABLES[name]
        key = list(table.primary_key)
        rest = [column for column in table.c if column not in key]
        found.append((name, sa.select(*key, *rest).order_by(*key), len(key)))
    return found


def _compare(name: str, statement: sa.Select[Any], key: int, kept: Session, made: Session) -> Iterator[Finding]:
    """What differs between two tables, told by key."""

    def keyed(side: int, session: Session) -> Iterator[tuple[Any, int, Any]]:
        return ((tuple(row[:key]), side, row) for row in session.connection.execute(statement))

    rows = merge(keyed(0, kept), keyed(1, made), key=itemgetter(0))
    columns = [column.name for column in statement.selected_columns]
    for where, both in groupby(rows, key=itemgetter(0)):
        sides = {side: row for _, side, row in both}
        place = " ".join(str(part) for part in where)
        if len(sides) == 2:
            for column, here, told in zip(columns, *sides.values(), strict=True):
                if here != told:
                    yield Finding(name, place, f"{column} is {here!r}, the events say {told!r}")
        else:
            yield Finding(name, place, "follows from no event" if 0 in sides else "is missing")

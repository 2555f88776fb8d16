"""Opening a log: its schema, its life, its projections."""

from __future__ import annotations

from collections.abc import Callable

from store.api import E, Sign
from store.errors import LogDamaged, StoreError
from store.projections.catalogue import projections
from store.sql import queries
from store.sql.backend import Database, Session, plain
from store.sql.ledger import Ledger
from store.sql.migrations import migrate
from store.sql.projector import Projector
from store.sql.records import GUARANTEES, LIVES, Guarantee
from store.sql.schema import METADATA, VERSION

DEFAULT = "FULL"
"""What a commit of a log is worth where nothing else was ever said."""


def open_ledger(
    database: Database,
    source: str,
    decode: Callable[[bytes], E],
    synchronous: str | None = None,
    sign: Sign | None = None,
) -> Ledger[E]:
    """The ledger of the log of `source` that is there when this returns: a new one begins its first life,
    and projections whose fold has changed are rebuilt. Several processes may open one log at the same
    time. Commits are worth what `synchronous` says, and the log records that; None keeps what it recorded last.

    LogDamaged if it is no log, or another tier's; StoreError if it cannot be written."""
    try:
        database.create()
        session = database.session()
        try:
            return _open(session, source, decode, synchronous, sign)
        except BaseException:
            session.close()
            raise
    except database.errors as error:
        kind = LogDamaged if database.is_damage(error) else StoreError
        raise kind(f"{database.where}: {plain(error)}") from error


def _open(
    session: Session, source: str, decode: Callable[[bytes], E], synchronous: str | None, sign: Sign | None
) -> Ledger[E]:
    session.begin_write()
    prepare(session)
    session.commit()
    ledger: Ledger[E] = Ledger(session, source, Projector(projections(source), decode), sign)
    ledger.begin()
    if not ledger.epoch:
        ledger.begin_life("")
    life = ledger.rows(LIVES).get(ledger.epoch)
    if life is None or life.source != source:
        raise LogDamaged(f"the log is that of {life.source if life else 'nobody'}, not of {source}")
    for projection in ledger.projector.outdated(ledger):
        ledger.projector.rebuild(ledger, projection)
    guarantee = _guarantee(ledger, synchronous)
    ledger.flush()
    ledger.commit()
    session.set_synchronous(guarantee)
    session.be_impatient()
    return ledger


def _guarantee(ledger: Ledger[E], synchronous: str | None) -> str:
    """What commits are worth from now on; a change is recorded."""
    latest = ledger.session.all(queries.GUARANTEES)[-1:]
    known = str(latest[0][0]) if latest else None
    chosen = synchronous or known or DEFAULT
    if chosen != known:
        ledger.rows(GUARANTEES).put(Guarantee(ledger.stored_at, ledger.last_row, chosen))
    return chosen


def prepare(session: Session) -> None:
    """Makes the tables, or brings those of an earlier version up to date, in the running transaction. LogDamaged if a
    later version has written them."""
    version = session.schema_version()
    if version > VERSION:
        raise LogDamaged(f"the log was written by a later version (schema {version}, this program knows {VERSION})")
    if version == 0:
        METADATA.create_all(session.connection, checkfirst=False)
    elif version < VERSION:
        migrate(session.connection, version)
    if version < VERSION:
        session.set_schema_version(VERSION)

"""Opening a log: its schema, its life, its projections."""

from __future__ import annotations

from collections.abc import Callable

from store.api import E
from store.errors import LogDamaged, StoreError
from store.projections.catalogue import projections
from store.sql.backend import Database, Session, plain
from store.sql.ledger import Ledger
from store.sql.projector import Projector
from store.sql.records import LIVES
from store.sql.schema import METADATA, VERSION


def open_ledger(database: Database, source: str, decode: Callable[[bytes], E]) -> Ledger[E]:
    """The ledger of the log of `source` that is there when this returns: a new one begins its first life,
    and projections whose fold has changed are rebuilt. Several processes may open one log at the same
    time.

    LogDamaged if it is no log, or another tier's; StoreError if it cannot be written."""
    try:
        database.create()
        session = database.session()
        try:
            return _open(session, source, decode)
        except BaseException:
            session.close()
            raise
    except database.errors as error:
        kind = LogDamaged if database.is_damage(error) else StoreError
        raise kind(f"{database.where}: {plain(error)}") from error


def _open(session: Session, source: str, decode: Callable[[bytes], E]) -> Ledger[E]:
    session.begin_write()
    _prepare(session)
    session.commit()
    ledger: Ledger[E] = Ledger(session, source, Projector(projections(source), decode))
    ledger.begin()
    if not ledger.epoch:
        ledger.begin_life("")
    life = ledger.rows(LIVES).get(ledger.epoch)
    if life is None or life.source != source:
        raise LogDamaged(f"the log is that of {life.source if life else 'nobody'}, not of {source}")
    for projection in ledger.projector.outdated(ledger):
        ledger.projector.rebuild(ledger, projection)
    ledger.flush()
    ledger.commit()
    session.be_impatient()
    return ledger


def _prepare(session: Session) -> None:
    version = session.schema_version()
    if version > VERSION:
        raise LogDamaged(f"the log was written by a later version (schema {version}, this program knows {VERSION})")
    if version < VERSION:
        # A later version has added tables at most; what they hold follows from the events.
        METADATA.create_all(session.connection, checkfirst=version > 0)
        session.set_schema_version(VERSION)

"""Opening a log's file: its schema, its life, its projections."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from store.api import E
from store.errors import LogDamaged, StoreError
from store.projections.catalogue import projections
from store.sql import sqlite
from store.sql.ledger import Ledger
from store.sql.projector import Projector
from store.sql.reader import Session
from store.sql.records import LIVES
from store.sql.schema import METADATA, VERSION
from store.sql.statements import Texts


def open_ledger(engine: sa.Engine, texts: Texts, source: str, decode: Callable[[bytes], E]) -> Ledger[E]:
    """The ledger of the file, in which there is a log of `source` when this returns: a new file begins
    its first life, and projections whose fold has changed are rebuilt. Several processes may open one
    file at the same time.

    LogDamaged if the file is no log, or another tier's; StoreError if it cannot be written."""
    try:
        session = Session(engine, texts)
        try:
            return _open(session, source, decode)
        except BaseException:
            session.close()
            raise
    except sqlite.ERRORS as error:
        kind = LogDamaged if sqlite.is_damage(error) else StoreError
        raise kind(f"{engine.url.database}: {error}") from error


def _open(session: Session, source: str, decode: Callable[[bytes], E]) -> Ledger[E]:
    sqlite.begin_write(session.cursor)
    _prepare(session)
    session.cursor.execute("COMMIT")
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
    sqlite.be_impatient(session.cursor)
    return ledger


def _prepare(session: Session) -> None:
    version = sqlite.schema_version(session.cursor)
    if version > VERSION:
        raise LogDamaged(f"the log was written by a later version (schema {version}, this program knows {VERSION})")
    if version == 0:
        METADATA.create_all(session.connection, checkfirst=False)
    if version < VERSION:
        sqlite.set_schema_version(session.cursor, VERSION)

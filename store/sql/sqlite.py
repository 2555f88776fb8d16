"""What is particular to SQLite; another database is another module like this one."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert as insert  # the dialect's own, which can replace
from sqlalchemy.engine.interfaces import DBAPICursor

ERRORS = (sqlite3.Error, sa.exc.SQLAlchemyError, OverflowError)
"""What a statement may raise; OverflowError is an integer beyond 64 bits."""

BUSY_SECONDS = 30.0
BUSY_PAUSE = 0.001
CHECKPOINT_PAGES = 1000


def create_engine(path: Path, synchronous: str = "FULL") -> sa.Engine:
    """An engine whose connections leave transactions to us (the driver begins none by itself)."""
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        poolclass=sa.NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={
            "timeout": BUSY_SECONDS,
            # Many-row statements of every size and table stay prepared.
            "cached_statements": 1024,
            "check_same_thread": False,
        },
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA synchronous = {synchronous}")
        cursor.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        cursor.close()

    return engine


def is_damage(error: BaseException) -> bool:
    """Whether the database says that the file is broken, or is no database."""
    if isinstance(error, sa.exc.DBAPIError) and error.orig is not None:
        return is_damage(error.orig)
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_conflict(error: BaseException) -> bool:
    """Whether a row with this key is there already."""
    return isinstance(error, sqlite3.IntegrityError)


def is_busy(error: BaseException) -> bool:
    """Whether another connection has the write lock."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def begin_write(cursor: DBAPICursor, patience: float = BUSY_SECONDS) -> None:
    """Takes the write lock at once, so that what is read after it stays true until the commit. A busy error
    if another connection does not give it up within `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            cursor.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= deadline:
                raise
        time.sleep(BUSY_PAUSE)


def be_impatient(cursor: DBAPICursor) -> None:
    """From now on SQLite itself waits for no lock: that costs a statement each time it is changed."""
    cursor.execute("PRAGMA busy_timeout = 0")


def data_version(cursor: DBAPICursor) -> int:
    """A number that changes when another connection has committed."""
    return _pragma(cursor, "data_version")


def last_row(cursor: DBAPICursor) -> int:
    """The highest row number that was ever given to an event."""
    cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
    found = cursor.fetchone()
    return int(found[0]) if found else 0


def file_bytes(engine: sa.Engine) -> int:
    """The size of the file and of its write-ahead log."""
    database = engine.url.database or ""
    return sum(p.stat().st_size for p in (Path(database), Path(database + "-wal")) if p.exists())


def copy(engine: sa.Engine, path: Path) -> None:
    """Copies the database as it is at one moment, page by page, while others may write."""
    with engine.connect() as connection, closing(sqlite3.connect(path)) as target:
        original: Any = connection.connection.driver_connection
        original.backup(target)


def integrity(cursor: DBAPICursor) -> list[str]:
    """What SQLite finds broken in the file; empty if it is sound."""
    cursor.execute("PRAGMA integrity_check")
    return [str(line) for (line,) in cursor.fetchall() if line != "ok"]


def schema_version(cursor: DBAPICursor) -> int:
    """The version of the schema in the file; 0 in a new one."""
    return _pragma(cursor, "user_version")


def set_schema_version(cursor: DBAPICursor, version: int) -> None:
    """Writes the version of the schema, in the running transaction."""
    cursor.execute(f"PRAGMA user_version = {version:d}")


def _pragma(cursor: DBAPICursor, name: str) -> int:
    cursor.execute(f"PRAGMA {name}")
    found: Any = cursor.fetchone()
    return int(found[0])

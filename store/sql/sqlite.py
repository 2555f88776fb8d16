"""A log in one SQLite file."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from store.sql import queries
from store.sql.backend import BUSY_SECONDS, Database, Session, Watch, original

ERRORS = (sqlite3.Error, sa.exc.SQLAlchemyError, OverflowError)
"""What a statement may raise; OverflowError is an integer beyond 64 bits."""

BUSY_PAUSE = 0.001
CHECKPOINT_PAGES = 1000

_REMEDIES = {
    sqlite3.SQLITE_FULL: "the disk is full: make room on it",
    sqlite3.SQLITE_IOERR: "see whether the disk is full, or broken",
    sqlite3.SQLITE_CANTOPEN: "see that the directory of the log is there",
    sqlite3.SQLITE_READONLY: "see that the files of the log may be written",
    sqlite3.SQLITE_BUSY: "some program holds the log's lock: ote doctor finds it",
    sqlite3.SQLITE_CORRUPT: "the log is damaged: ote store verify",
    sqlite3.SQLITE_NOTADB: "the log is damaged: ote store verify",
}


# The driver asks of each None and each bytes that it binds whether anybody adapts it, by attributes that are not there:
# twice what the binding takes. So there are adapters, which do nothing: each gives back what it is given.
_NOTHING: dict[None, None] = {}
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(type(None), _NOTHING.get)


class SqliteDatabase(Database):
    """The file at `path`. With `synchronous` FULL what is committed survives a power cut, with NORMAL a crash of
    the process only."""

    errors = ERRORS
    faults = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, OverflowError)
    is_near = True

    def __init__(self, path: Path, synchronous: str = "FULL") -> None:
        self.path = path
        super().__init__(str(path), _engine(path, synchronous))

    def session(self) -> SqliteSession:
        return SqliteSession(self)

    def watch(self) -> SqliteWatch:
        return SqliteWatch(self.session())

    def is_conflict(self, error: BaseException) -> bool:
        return isinstance(error, sqlite3.IntegrityError)

    def is_busy(self, error: BaseException) -> bool:
        return _code(error) == sqlite3.SQLITE_BUSY

    def is_damage(self, error: BaseException) -> bool:
        return _code(original(error)) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

    def remedy(self, error: BaseException) -> str | None:
        return _REMEDIES.get(_code(original(error)))

    def copy(self, file: Path) -> None:
        """Page by page."""
        with self.engine.connect() as connection, closing(sqlite3.connect(file)) as target:
            source: Any = connection.connection.driver_connection
            source.backup(target)

    def shrink(self) -> None:
        """Gives back what is free in the file. Needs room for a copy, and a moment without other users."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


class SqliteSession(Session):
    """A connection to the file."""

    database: SqliteDatabase

    def begin_write(self, patience: float = BUSY_SECONDS) -> int:
        deadline = time.monotonic() + patience
        while True:
            try:
                self.cursor.execute("BEGIN IMMEDIATE")
                return self.version()
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
            time.sleep(BUSY_PAUSE)

    def version(self) -> int:
        """A number that changes when another connection has committed."""
        return self._pragma("data_version")

    def begin_read(self) -> None:
        self.cursor.execute("BEGIN")

    def commit(self, news: int = 0) -> None:
        self.cursor.execute("COMMIT")

    def be_impatient(self) -> None:
        # SQLite's own patience costs a statement each time it is changed.
        self.cursor.execute("PRAGMA busy_timeout = 0")

    def set_synchronous(self, synchronous: str) -> None:
        self.cursor.execute(f"PRAGMA synchronous = {synchronous}")

    def last_row(self) -> int:
        self.cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        found = self.cursor.fetchone()
        return int(found[0]) if found else 0

    def size(self) -> int:
        """The file and its write-ahead log."""
        file = str(self.database.path)
        return sum(p.stat().st_size for p in (Path(file), Path(file + "-wal")) if p.exists())

    def free(self) -> int:
        return self._pragma("freelist_count") * self._pragma("page_size")

    def used(self) -> int:
        return self._pragma("page_count") * self._pragma("page_size") - self.free()

    def schema_version(self) -> int:
        return self._pragma("user_version")

    def set_schema_version(self, version: int) -> None:
        self.cursor.execute(f"PRAGMA user_version = {version:d}")

    def integrity(self) -> list[str]:
        self.cursor.execute("PRAGMA integrity_check")
        return [str(line) for (line,) in self.cursor.fetchall() if line != "ok"]

    def _pragma(self, name: str) -> int:
        self.cursor.execute(f"PRAGMA {name}")
        found: Any = self.cursor.fetchone()
        return int(found[0])


class SqliteWatch(Watch):
    """Asks the file: that takes microseconds and no disk, far less than a hop to another thread."""

    def __init__(self, session: SqliteSession) -> None:
        self._session = session
        self._version = session.version()

    def news(self) -> int | None:
        version = self._session.version()
        if version == self._version:
            return None
        self._version = version
        return self._session.one(queries.LAST_ROW)[0] or 0

    def close(self) -> None:
        self._session.close()


def _engine(path: Path, synchronous: str) -> sa.Engine:
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


def _code(error: BaseException) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF

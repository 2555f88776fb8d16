"""A log in a PostgreSQL database, in a schema (namespace) of its own that has the name of the tier's path.

One writer at a time: each transaction takes an advisory lock first and holds it until it is over, so that rows
become visible in the order of their numbers, and who follows never misses one that came late.
"""

from __future__ import annotations

import time
from contextlib import closing, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from store.errors import StoreError
from store.sql.backend import BUSY_SECONDS, Database, Session, Watch, original, plain
from store.sql.export import export
from store.sql.postgres_connect import engine_at
from store.sql.urls import short

MOST_NAME = 63
"""Bytes of a name: PostgreSQL cuts what is longer."""
RESOLVE_SECONDS = 30.0
"""How long a commit whose answer was lost is asked for."""
RESOLVE_PAUSE = 0.1
CLAIM_SECONDS = 30.0
"""How long a tier waits for one before it: the server may still take a machine that lost its power for alive."""
CLAIM_PAUSE = 0.1
ANY_ROW = 2**62


class PostgresDatabase(Database):
    """The log of `source` in the database at `url`."""

    errors = (psycopg.Error, sa.exc.SQLAlchemyError, OverflowError)
    faults = (psycopg.IntegrityError, psycopg.DataError, psycopg.ProgrammingError, OverflowError)
    is_near = False

    def __init__(self, url: sa.URL, source: str, synchronous: str = "FULL") -> None:
        self.schema = schema_of(source)
        digest = blake2b(self.schema.encode(), digest_size=8).digest()
        self.lock = int.from_bytes(digest, signed=True)
        self.channel = f"ote_{digest.hex()}"
        super().__init__(f"{short(url)} ({source})", engine_at(url, self.schema, synchronous))

    def create(self) -> None:
        with closing(self.session()) as session:
            session.check_encoding()
            session.cursor.execute(f"BEGIN; SELECT pg_advisory_xact_lock({self.lock})")
            session.cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (self.schema,))
            if session.cursor.fetchone() is None:
                session.cursor.execute(f'CREATE SCHEMA "{self.schema}"')
            session.cursor.execute("SELECT to_regclass('turns')")
            if session.cursor.fetchone() == (None,):
                session.cursor.execute("CREATE SEQUENCE turns; CREATE TABLE schema_version (version integer NOT NULL)")
            session.cursor.execute("COMMIT")

    def session(self) -> PostgresSession:
        return PostgresSession(self)

    def watch(self) -> PostgresWatch:
        return PostgresWatch(self)

    def is_conflict(self, error: BaseException) -> bool:
        return isinstance(original(error), psycopg.IntegrityError)

    def is_busy(self, error: BaseException) -> bool:
        return isinstance(original(error), psycopg.errors.LockNotAvailable)

    def is_damage(self, error: BaseException) -> bool:
        return isinstance(original(error), (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted))

    def explain(self, error: BaseException) -> str:
        if isinstance(error, InDoubt):
            return f"it is not known whether the log was written: {plain(error)}"
        return super().explain(error)

    def remedy(self, error: BaseException) -> str | None:
        if isinstance(cause := original(error), psycopg.errors.DiskFull):
            return "the disk of the database is full: make room there"
        if isinstance(cause, psycopg.errors.ReadOnlySqlTransaction):
            return "the database takes no writes: see that it is no standby"
        if isinstance(cause, psycopg.OperationalError) and not self.is_busy(error):
            return "see that the database runs, and can be reached from here"
        return None

    def copy(self, file: Path) -> None:
        """Row by row."""
        with closing(self.session()) as session:
            export(session, file)


class InDoubt(psycopg.OperationalError):
    """The connection was lost while a commit was under way, and the database did not come back to tell."""


class PostgresSession(Session):
    """A connection to the database. One that was lost is opened anew by the next transaction."""

    database: PostgresDatabase
    _turns = 0
    _transaction = ""
    _worth = ""

    def begin_write(self, patience: float = BUSY_SECONDS) -> int:
        self._turns += 1
        self._begin(
            f"BEGIN; SET LOCAL lock_timeout = {max(1, round(patience * 1000))};"
            f"SELECT pg_advisory_xact_lock({self.database.lock});"
            "SELECT nextval('turns'), pg_current_xact_id()::text"
        )
        while self.cursor.nextset():
            pass
        found: Any = self.cursor.fetchone()
        turn, self._transaction = found
        # Whoever begins counts one on: the difference changes when another did.
        return int(turn) - self._turns

    def begin_read(self) -> None:
        self._begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def _begin(self, text: str) -> None:
        try:
            self.cursor.execute(text)
        except psycopg.Error:
            if not self._is_lost:
                raise
            # Nothing has happened yet: a database that was restarted since is asked again.
            self.renew()
            self.cursor.execute(text)

    def _connect(self) -> None:
        super()._connect()
        #: SQLAlchemy's own reference is gone when it sees that the connection is lost.
        self.driver: psycopg.Connection[Any] = self.connection.connection.driver_connection  # type: ignore[assignment]
        if self._worth:
            self.cursor.execute(f"SET synchronous_commit = {self._worth}")

    @property
    def _is_lost(self) -> bool:
        return self.driver.closed

    def renew(self) -> None:
        """Connects again."""
        self.close()
        self._connect()

    def close(self) -> None:
        """Also where the server is away: what nobody can give back is dropped."""
        with suppress(*self.database.errors):
            super().close()
        self.driver.close()

    def roll_back(self) -> None:
        self.driver.rollback()

    def commit(self, news: int = 0) -> None:
        told = f"SELECT setval('events_row_seq', {news}); NOTIFY {self.database.channel}, '{news}';" if news else ""
        try:
            self.cursor.execute(told + "COMMIT")
        except psycopg.Error as error:
            if not self._is_lost:
                raise
            if self._was_committed(error):
                return
            raise
        while self.cursor.nextset():
            pass
        if self.cursor.statusmessage != "COMMIT":
            # PostgreSQL commits nothing after a statement that failed, and says so only here.
            raise psycopg.errors.InFailedSqlTransaction("the transaction was given up")

    def _was_committed(self, error: psycopg.Error) -> bool:
        """What became of a commit whose answer was lost."""
        deadline = time.monotonic() + RESOLVE_SECONDS
        while time.monotonic() < deadline:
            try:
                self.renew()
                self.cursor.execute("SELECT pg_xact_status(%s::xid8)", (self._transaction,))
                found: Any = self.cursor.fetchone()
                if found != ("in progress",):
                    return bool(found == ("committed",))
            except self.database.errors:
                pass
            time.sleep(RESOLVE_PAUSE)
        raise InDoubt(str(error)) from error

    def set_synchronous(self, synchronous: str) -> None:
        self._worth = "on" if synchronous == "FULL" else "off"
        self.cursor.execute(f"SET synchronous_commit = {self._worth}")

    def free(self) -> int:
        """Not known: the database looks after it."""
        return 0

    def used(self) -> int:
        return self.size()

    def last_row(self) -> int:
        # The number that the table would give by itself next, as in SQLite.
        self.cursor.execute("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_row_seq")
        found: Any = self.cursor.fetchone()
        return int(found[0])

    def size(self) -> int:
        """Tables and indexes."""
        self.cursor.execute(
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relkind = 'r'"
        )
        found: Any = self.cursor.fetchone()
        return int(found[0])

    def schema_version(self) -> int:
        self.cursor.execute("SELECT coalesce(max(version), 0) FROM schema_version")
        found: Any = self.cursor.fetchone()
        return int(found[0])

    def set_schema_version(self, version: int) -> None:
        self.cursor.execute(f"DELETE FROM schema_version; INSERT INTO schema_version VALUES ({version:d})")

    def integrity(self) -> list[str]:
        """PostgreSQL keeps its own checks; that every row can be read is seen when the log is copied."""
        return []

    def check_encoding(self) -> None:
        """StoreError if the database can not hold every text."""
        self.cursor.execute("SHOW server_encoding")
        if self.cursor.fetchone() != ("UTF8",):
            raise StoreError(
                f"{self.database.where}: the database is not in UTF-8;"
                " create another: CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
            )


class PostgresWatch(Watch):
    """Listens: each commit of events says its last row. What has come is taken from the socket without waiting."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._session = database.session()
        self._is_sole = False
        self._listen()

    def _listen(self) -> None:
        self._session.cursor.execute(f"LISTEN {self._session.database.channel}")
        self._is_fresh = True

    def claim(self) -> bool:
        self._is_sole = True
        deadline = time.monotonic() + CLAIM_SECONDS
        while not self._claim():
            if time.monotonic() > deadline:
                return False
            time.sleep(CLAIM_PAUSE)
        return True

    def _claim(self) -> bool:
        # Of two numbers: another kind of key than that of the write lock.
        cursor = self._session.cursor
        cursor.execute(f"SELECT pg_try_advisory_lock({self._session.database.lock >> 32}, 1)")
        return bool(cursor.fetchone() == (True,))

    def news(self) -> int | None:
        connection = self._session.driver.pgconn
        connection.consume_input()
        rows = []
        while (note := connection.notifies()) is not None:
            rows.append(int(note.extra))
        if self._is_fresh:
            # What was said before it listened, nobody knows.
            self._is_fresh = False
            return ANY_ROW
        return max(rows, default=None)

    def skip(self) -> None:
        self.news()

    def renew(self) -> None:
        self._session.renew()
        self._listen()
        if self._is_sole:
            self._claim()

    def close(self) -> None:
        self._session.close()


def schema_of(source: str) -> str:
    """The name of the schema of a tier: its path, or where that is too long its beginning and a digest."""
    if len(source) <= MOST_NAME:
        return source
    digest = blake2b(source.encode(), digest_size=8).hexdigest()
    return f"{source[: MOST_NAME - len(digest) - 1]}#{digest}"


def sources_at(url: sa.URL) -> list[str]:
    """The paths of the tiers whose logs are in this database."""
    engine = engine_at(url, "public", "FULL")
    with engine.connect() as connection:
        names = connection.exec_driver_sql("SELECT schemaname FROM pg_tables WHERE tablename = 'lives' ORDER BY 1")
        found = []
        for (schema,) in names.all():
            latest = connection.exec_driver_sql(f'SELECT source FROM "{schema}".lives ORDER BY epoch DESC LIMIT 1')
            found += [str(source) for (source,) in latest if schema_of(source) == schema]
        return sorted(found)

"""What a log needs of a database beyond the SQL that all of them understand.

`sqlite` is one implementation of it and `postgres` another; everything else in `store/sql` is one code for both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPICursor

from store.sql.statements import Query, Texts

BUSY_SECONDS = 30.0
"""How long a writer waits for another."""


class Session(ABC):
    """A connection's cursor, for compiled queries, and beside it SQLAlchemy's own connection, for those
    that are built for the occasion. Transactions are begun and ended here, and by nobody else."""

    connection: sa.Connection
    cursor: DBAPICursor

    def __init__(self, database: Database) -> None:
        self.database = database
        self.texts = database.texts
        self._connect()

    def _connect(self) -> None:
        self.connection = self.database.engine.connect()
        self.cursor = self.connection.connection.cursor()

    def all(self, query: Query, *parameters: Any) -> list[Any]:
        """All rows."""
        self.cursor.execute(self.texts[query], parameters)
        return self.cursor.fetchall()  # type: ignore[return-value]

    def one(self, query: Query, *parameters: Any) -> Any:
        """The first row, or None."""
        self.cursor.execute(self.texts[query], parameters)
        return self.cursor.fetchone()

    @abstractmethod
    def begin_write(self, patience: float = BUSY_SECONDS) -> int:
        """Takes the write lock at once, so that what is read after it stays true until the commit. A busy error
        if another connection does not give it up within `patience` seconds. Returns a number that is another one
        than the last time if another connection may have written in between."""

    @abstractmethod
    def begin_read(self) -> None:
        """Begins a transaction that sees one moment of the log."""

    def end_read(self) -> None:
        """Ends what `begin_read` began."""
        self.cursor.execute("COMMIT")

    @abstractmethod
    def commit(self, news: int = 0) -> None:
        """Ends the transaction, durably; `news` is the last row of the events in it, 0 if there are none."""

    def roll_back(self) -> None:
        """Ends the transaction, if there is one, as if it had not been."""
        self.connection.connection.rollback()

    def be_impatient(self) -> None:  # noqa: B027 - most databases have nothing to do here
        """From now on waiting for the write lock is left to `begin_write`."""

    @abstractmethod
    def set_synchronous(self, synchronous: str) -> None:
        """What commits of this connection are worth from now on: with FULL they survive a power cut, with NORMAL a
        crash of the process only. Outside of transactions."""

    @abstractmethod
    def last_row(self) -> int:
        """The highest row number that was ever given to an event."""

    @abstractmethod
    def size(self) -> int:
        """Bytes that the log takes."""

    @abstractmethod
    def free(self) -> int:
        """Bytes of them that hold nothing, and are filled by what comes."""

    @abstractmethod
    def used(self) -> int:
        """Bytes that hold something."""

    @abstractmethod
    def schema_version(self) -> int:
        """The version of the schema; 0 where there is none yet."""

    @abstractmethod
    def set_schema_version(self, version: int) -> None:
        """Writes the version of the schema, in the running transaction."""

    @abstractmethod
    def integrity(self) -> list[str]:
        """What the database itself finds broken; empty if it is sound."""

    def close(self) -> None:
        """Gives the connection back."""
        self.cursor.close()
        self.connection.close()


class Watch(ABC):
    """Sees what other connections commit. It is asked on the event loop, and never blocks it."""

    @abstractmethod
    def news(self) -> int | None:
        """The last row, if anybody may have committed since the last time; else None."""

    def skip(self) -> None:  # noqa: B027 - only news that come by themselves must be thrown away
        """Nobody wants the news that there may be."""

    def claim(self) -> bool:
        """Takes the log for one tier, as long as this connection lives. False if another has it."""
        return True

    def renew(self) -> None:  # noqa: B027 - a file is not lost
        """After an error: connects again. Blocks."""

    @abstractmethod
    def close(self) -> None:
        """Gives the connection back."""


class Database(ABC):
    """A database with the log of one tier in it, or with room for one."""

    errors: ClassVar[tuple[type[Exception], ...]]
    """What a statement may raise."""
    faults: ClassVar[tuple[type[Exception], ...]]
    """Those of them that would come again however often it is tried: the statement itself is wrong."""
    is_near: ClassVar[bool]
    """Whether a commit waits for nothing but the disk, so that the event loop may wait for it too."""

    def __init__(self, where: str, engine: sa.Engine) -> None:
        self.where = where
        self.engine = engine
        self.texts = Texts(engine.dialect)

    def create(self) -> None:  # noqa: B027 - a file comes into being when it is opened
        """Makes the place for the log's tables, if it is not there."""

    @abstractmethod
    def session(self) -> Session:
        """A new connection."""

    @abstractmethod
    def watch(self) -> Watch:
        """A new connection that sees what others commit."""

    @abstractmethod
    def is_conflict(self, error: BaseException) -> bool:
        """Whether the error says that a row with this key is there already."""

    @abstractmethod
    def is_busy(self, error: BaseException) -> bool:
        """Whether it says that another connection has the write lock."""

    @abstractmethod
    def is_damage(self, error: BaseException) -> bool:
        """Whether it says that the database is broken, or that this is no log."""

    def is_fault(self, error: BaseException) -> bool:
        """Whether the statement is wrong, and not the database unable."""
        return isinstance(original(error), self.faults)

    def explain(self, error: BaseException) -> str:
        """What to tell of an error of a write."""
        return f"the log was not written: {plain(error)}"

    @abstractmethod
    def remedy(self, error: BaseException) -> str | None:
        """What to look at after an error of a write; None if that is not known."""

    @abstractmethod
    def copy(self, file: Path) -> None:
        """Copies the log as it is at one moment, while others may write, to a new file in SQLite's format."""

    def dispose(self) -> None:
        """Closes the connections that were given back."""
        self.engine.dispose()


def original(error: BaseException) -> BaseException:
    """The driver's error, where SQLAlchemy has wrapped it."""
    if isinstance(error, sa.exc.DBAPIError) and error.orig is not None:
        return error.orig
    return error


def plain(error: BaseException) -> str:
    """What the driver says, on one line."""
    return " ".join(str(original(error)).split())

"""Whose log is here, what are its commits worth, and how does it get smaller? For tools that are given a file or an
URL and nothing else."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from store.api import Guarantee
from store.errors import LogDamaged, StoreError
from store.sql import queries
from store.sql.backend import plain
from store.sql.schema import RECORD_TABLES
from store.sql.sqlite import SqliteDatabase
from store.sql.where import database_at


def source_of(where: str | Path, source: str | None = None) -> str:
    """The path of the tier whose log is in this file or database; `source` says which, where several are in one.
    LogDamaged if there is none in it. Blocks."""
    lives = RECORD_TABLES["lives"].c
    latest = sa.select(lives.source).order_by(lives.epoch.desc()).limit(1)
    database = database_at(where, source)
    if isinstance(database, SqliteDatabase) and not database.path.is_file():
        raise LogDamaged(f"{where} is no file")
    try:
        with database.engine.connect() as connection:
            found = connection.execute(latest).scalar()
    except database.errors as error:
        raise LogDamaged(f"{database.where} holds no log: {plain(error)}") from error
    if found is None:
        raise LogDamaged(f"{database.where} holds no life of a log")
    return str(found)


def guarantees_in(where: str | Path, source: str | None = None) -> list[Guarantee]:
    """What `store.api.Reader.guarantees` says of the log in this file or database; empty for one that was written
    before logs recorded it. LogDamaged if it can not be read. Blocks."""
    database = database_at(where, source)
    try:
        with database.engine.connect() as connection:
            if not sa.inspect(connection).has_table(RECORD_TABLES["guarantees"].name):
                return []
            return [Guarantee(*row) for row in connection.exec_driver_sql(database.texts[queries.GUARANTEES])]
    except database.errors as error:
        raise LogDamaged(f"{database.where}: {plain(error)}") from error


def size_of(where: str | Path, source: str | None = None) -> int:
    """Bytes that the log in this file or database takes. LogDamaged if it can not be read. Blocks."""
    database = database_at(where, source)
    try:
        with closing(database.session()) as session:
            return session.size()
    except database.errors as error:
        raise LogDamaged(f"{database.where}: {plain(error)}") from error
    finally:
        database.dispose()


def shrink(path: Path) -> None:
    """Gives back what is free in the file. It needs room for a copy, and a moment without other users; StoreError if
    there is none. Blocks."""
    database = SqliteDatabase(path)
    try:
        database.shrink()
    except database.errors as error:
        raise StoreError(f"{path} was not made smaller: {plain(error)}") from error

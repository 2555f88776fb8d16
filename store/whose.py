"""Whose log is here? For tools that are given a file or an URL and nothing else."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from store.errors import LogDamaged
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

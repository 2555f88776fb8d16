"""Whose log is in this file? For tools that are given a file and nothing else."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from store.errors import LogDamaged
from store.sql.schema import RECORD_TABLES
from store.sql.sqlite import ERRORS, SqliteDatabase


def source_of(path: Path) -> str:
    """The path of the tier whose log is in this file. LogDamaged if there is none in it. Blocks."""
    lives = RECORD_TABLES["lives"].c
    latest = sa.select(lives.source).order_by(lives.epoch.desc()).limit(1)
    if not path.is_file():
        raise LogDamaged(f"{path} is no file")
    try:
        with SqliteDatabase(path).engine.connect() as connection:
            source = connection.execute(latest).scalar()
    except ERRORS as error:
        raise LogDamaged(f"{path} holds no log: {getattr(error, 'orig', None) or error}") from error
    if source is None:
        raise LogDamaged(f"{path} holds no life of a log")
    return str(source)

"""Is somebody sitting on a log? For tools that look at the file of a tier, running or not."""

from __future__ import annotations

from pathlib import Path

from store.errors import LogDamaged
from store.sql.backend import original
from store.sql.sqlite import ERRORS, SqliteDatabase


def is_locked(path: Path, patience: float) -> bool:
    """Whether the write lock of the log in this file could not be had within `patience` seconds: a tier gives it up
    after each commit. LogDamaged if the file is no log that can be opened. Blocks."""
    database = SqliteDatabase(path)
    try:
        session = database.session()
        try:
            session.be_impatient()
            session.begin_write(patience)
            session.roll_back()
        finally:
            session.close()
    except ERRORS as error:
        if database.is_busy(original(error)):
            return True
        raise LogDamaged(f"{path}: {original(error)}") from error
    finally:
        database.dispose()
    return False

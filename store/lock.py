"""Is somebody sitting on a log? For tools that look at the log of a tier, running or not."""

from __future__ import annotations

from pathlib import Path

from store.errors import LogDamaged
from store.sql.backend import original, plain
from store.sql.where import database_at


def is_locked(where: str | Path, patience: float, source: str | None = None) -> bool:
    """Whether the write lock of the log in this file or database could not be had within `patience` seconds: a tier
    gives it up after each commit. LogDamaged if there is no log that can be opened, StoreError if several are there
    and no `source` says which. Blocks."""
    database = database_at(where, source)
    try:
        session = database.session()
        try:
            session.be_impatient()
            session.begin_write(patience)
            session.roll_back()
        finally:
            session.close()
    except database.errors as error:
        if database.is_busy(original(error)):
            return True
        raise LogDamaged(f"{database.where}: {plain(error)}") from error
    finally:
        database.dispose()
    return False

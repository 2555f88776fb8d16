"""The log in an SQL database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from store.api import E
from store.errors import StoreError
from store.sql.log import SqlLog
from store.sql.sqlite import SqliteDatabase

__all__ = ["SqlLog", "open_log"]


def open_log(
    where: str | Path, *, source: str, decode: Callable[[bytes], E], synchronous: str = "FULL", lazy_delay: float = 0.02
) -> SqlLog[E]:
    """The log of the tier `source` in this file (a path, or `sqlite:///PATH`), to be used in an
    `async with`. `decode` makes an event of its bytes. With `synchronous` FULL what is acknowledged
    survives a power cut, with NORMAL a crash of the process only. A lazy write waits `lazy_delay`
    seconds at most."""
    path = where
    if isinstance(where, str) and "://" in where:
        url = sa.make_url(where)
        if url.get_backend_name() != "sqlite" or not url.database:
            raise StoreError(f"no backend for {url.render_as_string()}: a log is a file, or sqlite:///FILE")
        path = url.database
    return SqlLog(SqliteDatabase(Path(path), synchronous), source=source, decode=decode, lazy_delay=lazy_delay)

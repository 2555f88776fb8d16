"""The log in an SQL database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from store.api import E, Sign
from store.sql.log import SqlLog
from store.sql.urls import is_remote, shown
from store.sql.where import database_at

__all__ = ["SqlLog", "is_remote", "open_log", "shown"]


def open_log(
    where: str | Path,
    *,
    source: str,
    decode: Callable[[bytes], E],
    synchronous: str | None = None,
    lazy_delay: float = 0.02,
    sole: bool = False,
    sign: Sign | None = None,
) -> SqlLog[E]:
    """The log of the tier `source` in this file (a path, or `sqlite:///PATH`) or database
    (`postgresql://USER@HOST/DATABASE`), to be used in an `async with`. `decode` makes an event of its
    bytes. With `synchronous` FULL what is acknowledged survives a power cut, with NORMAL a crash of the
    process only; the log records which, and keeps to it where none is given (FULL in a new one). A lazy write waits
    `lazy_delay` seconds at most. In a database that other machines reach too, only one may open the log as its `sole`
    tier; others that open it are beside that one. With `sign`, what it appends for others is signed."""
    database = database_at(where, source)
    return SqlLog(
        database,
        source=source,
        decode=decode,
        synchronous=synchronous,
        lazy_delay=lazy_delay,
        sole=sole,
        sign=sign,
    )

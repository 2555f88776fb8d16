"""Where a log is: a file, or an URL."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from store.errors import LogDamaged, StoreError
from store.sql.backend import Database, plain
from store.sql.sqlite import SqliteDatabase
from store.sql.urls import is_remote, short

_FORMS = "a log is a file, sqlite:///FILE, or postgresql://USER@HOST/DATABASE"


def database_at(where: str | Path, source: str | None = None, synchronous: str = "FULL") -> Database:
    """The database with the log of the tier `source`, which need not be there yet. Where no source is given and the
    database holds several logs, or none, LogDamaged says so. StoreError if there is no such kind of database."""
    if isinstance(where, Path) or "://" not in where:
        return SqliteDatabase(Path(where), synchronous)
    try:
        url = sa.make_url(where)
    except (sa.exc.ArgumentError, ValueError):
        raise StoreError(f"no URL of a database: {_FORMS}") from None
    if is_remote(where):
        return _postgres(url, source, synchronous)
    if url.get_backend_name() != "sqlite" or not url.database:
        raise StoreError(f"no backend for {url.render_as_string()}: {_FORMS}")
    return SqliteDatabase(Path(url.database), synchronous)


def _postgres(url: sa.URL, source: str | None, synchronous: str) -> Database:
    try:
        from store.sql import postgres
    except ImportError as error:
        raise StoreError(f"no driver for PostgreSQL ({error}): pip install 'ote-bus[postgres]'") from None
    if not url.database:
        raise StoreError(f"the URL names no database: {_FORMS}")
    if source is None:
        try:
            source = _only(short(url), postgres.sources_at(url))
        except postgres.PostgresDatabase.errors as error:
            raise StoreError(f"{short(url)}: {plain(error)}") from error
    return postgres.PostgresDatabase(url, source, synchronous)


def _only(where: str, sources: list[str]) -> str:
    if len(sources) == 1:
        return sources[0]
    if not sources:
        raise LogDamaged(f"there is no log in {where}")
    raise StoreError(f"{where} holds several logs, say which: {', '.join(sources)}")

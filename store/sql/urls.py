"""What can be said of where a log is without going there."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

POSTGRES = ("postgresql", "postgres")


def is_remote(where: str | Path) -> bool:
    """Whether the log is in a database that others can reach, and not in a file here."""
    return isinstance(where, str) and where.partition("://")[0].partition("+")[0] in POSTGRES


def short(url: sa.URL) -> str:
    """The URL without user, password and options."""
    return sa.URL.create("postgresql", host=url.host, port=url.port, database=url.database).render_as_string()


def shown(where: str | Path) -> str:
    """Where a log is, as people may see it."""
    if not is_remote(where):
        return str(where)
    try:
        return short(sa.make_url(str(where)))
    except (sa.exc.ArgumentError, ValueError):
        # What cannot be read may hold a password anywhere.
        return "postgresql://"

"""Connections to PostgreSQL: how they are made, and how text and numbers travel on them."""

from __future__ import annotations

from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.adapt import Dumper
from psycopg.types.string import StrDumperUnknown, TextLoader

KEPT_STATEMENTS = 1000
"""Many-row statements of every size and table stay prepared."""

# A peer that is gone is noticed within half a minute, also without a word, and the lock that it held is given up; the
# server ends a writer that was stopped in the middle. What the URL says about any of these counts.
DEFAULTS = {
    "application_name": "ote",
    "client_encoding": "utf8",
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "options": "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
    " -c idle_in_transaction_session_timeout=60s",
}


def engine_at(url: sa.URL, schema: str, synchronous: str) -> sa.Engine:
    """An engine whose connections work in this schema, and leave transactions to us. With `synchronous` FULL a commit
    waits for the disk, whatever the server's default is; else it does not."""
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        poolclass=sa.NullPool,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
        # Parameters by place, as with SQLite.
        paramstyle="format",
        use_native_hstore=False,
        connect_args={name: value for name, value in DEFAULTS.items() if name not in url.query},
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: psycopg.Connection[Any], _: object) -> None:
        connection.prepared_max = KEPT_STATEMENTS
        connection.adapters.register_dumper(int, _Number)
        connection.adapters.register_dumper(str, _Text)
        connection.adapters.register_loader("text", _TextLoader)
        connection.autocommit = True
        connection.execute("SELECT set_config('search_path', %s, false)", (f'"{schema}"',))
        if synchronous != "FULL":
            connection.execute("SET synchronous_commit = off")
        elif connection.execute("SHOW synchronous_commit").fetchone() == ("off",):
            connection.execute("SET synchronous_commit = on")

    return engine


class _Number(Dumper):
    """Of no type of its own, as NULL and text: what is prepared fits every row, and the statement says the type."""

    oid = 0

    def dump(self, obj: int) -> bytes:
        return b"%d" % obj

    quote = dump


class _Text(StrDumperUnknown):
    """PostgreSQL's text can not hold NUL. That travels as \\1\\1, and \\1 as \\1\\2: the order stays."""

    def dump(self, obj: str) -> Any:
        if "\0" in obj or "\1" in obj:
            obj = obj.replace("\1", "\1\2").replace("\0", "\1\1")
        return obj.encode()


class _TextLoader(TextLoader):
    def load(self, data: Any) -> str:
        text = str(data, "utf-8")
        return text.replace("\1\1", "\0").replace("\1\2", "\1") if "\1" in text else text

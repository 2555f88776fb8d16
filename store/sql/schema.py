"""The tables of a log, declared once for every database.

Events have a column for each attribute of the contract, and the exact bytes. They have few indexes:
each costs every append, and what people ask for is read in the order of rows anyway. All other
tables are made of the fields of their records.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from store.projections.base import Table
from store.projections.catalogue import projections
from store.sql.records import RECORDS

VERSION = 7
"""Of the schema; a file of a later version is refused. Since 2 positions and mailboxes may be behind the
events, and a record says how far; since 3 there are the objects of all clusters; since 4 the log says with
which `synchronous` it is written, and what was compacted away; since 5 there are the keys of clusters; since 6 they
say where they pass the links of siblings on."""

METADATA = sa.MetaData()

TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
"""Compared byte by byte, whatever the language of the database: paths and epochs sort as they are written."""
ROW = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""SQLite numbers rows by itself only where they are plain integers."""

EVENTS = sa.Table(
    "events",
    METADATA,
    # AUTOINCREMENT: the number of a row that was compacted away is never given to another event.
    sa.Column("row", ROW, primary_key=True, autoincrement=True),
    sa.Column("id", TEXT, nullable=False, unique=True),
    sa.Column("source", TEXT, nullable=False),
    sa.Column("epoch", TEXT, nullable=False),
    sa.Column("seq", sa.BigInteger),
    sa.Column("type", TEXT, nullable=False),
    sa.Column("subject", TEXT, nullable=False),
    sa.Column("time", TEXT, nullable=False),
    sa.Column("cause", TEXT),
    sa.Column("actor", TEXT),
    sa.Column("expiresat", TEXT),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("checksum", sa.LargeBinary, nullable=False),
    sa.Column("stored_at", TEXT, nullable=False),
    sa.Column("signature", sa.LargeBinary),
    sa.UniqueConstraint("source", "epoch", "seq"),
    sqlite_autoincrement=True,
)

_TYPES: dict[Any, tuple[sa.types.TypeEngine[Any], bool]] = {
    str: (TEXT, False),
    str | None: (TEXT, True),
    int: (sa.BigInteger(), False),
    int | None: (sa.BigInteger(), True),
    bytes: (sa.LargeBinary(), False),
}


def _declare(table: Table[Any]) -> sa.Table:
    hints = get_type_hints(table.record)
    columns = []
    for field in fields(table.record):
        kind, nullable = _TYPES[hints[field.name]]
        columns.append(sa.Column(field.name, kind, nullable=nullable, autoincrement=False))
    key = sa.PrimaryKeyConstraint(*table.key)
    declared = sa.Table(table.name, METADATA, *columns, key, sqlite_with_rowid=False)
    for index in table.indexes:
        where = sa.text(index.where) if index.where else None
        on = [declared.c[name] for name in index.columns]
        sa.Index(index.name, *on, sqlite_where=where, postgresql_where=where)
    return declared


RECORD_TABLES: dict[str, sa.Table] = {
    table.name: _declare(table)
    for table in (*RECORDS, *(table for projection in projections("") for table in projection.tables))
}

"""The tables of a log, declared once for every database.

Events have a column for each attribute of the contract, and the exact bytes. They have few indexes:
each costs every append, and what people ask for is read in the order of rows anyway. All other
tables are made of the fields of their records.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

import sqlalchemy as sa

from store.projections.base import Table
from store.projections.catalogue import projections
from store.sql.records import RECORDS

VERSION = 3
"""Of the schema; a file of a later version is refused. Since 2 positions and mailboxes may be behind the
events, and a record says how far; since 3 there are the objects of all clusters."""

METADATA = sa.MetaData()

EVENTS = sa.Table(
    "events",
    METADATA,
    # AUTOINCREMENT: the number of a row that was compacted away is never given to another event.
    sa.Column("row", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("epoch", sa.Text, nullable=False),
    sa.Column("seq", sa.BigInteger),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("time", sa.Text, nullable=False),
    sa.Column("cause", sa.Text),
    sa.Column("actor", sa.Text),
    sa.Column("expiresat", sa.Text),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("checksum", sa.LargeBinary, nullable=False),
    sa.Column("stored_at", sa.Text, nullable=False),
    sa.Column("signature", sa.LargeBinary),
    sa.UniqueConstraint("source", "epoch", "seq"),
    sqlite_autoincrement=True,
)

_TYPES: dict[Any, tuple[type[sa.types.TypeEngine[Any]], bool]] = {
    str: (sa.Text, False),
    str | None: (sa.Text, True),
    int: (sa.BigInteger, False),
    int | None: (sa.BigInteger, True),
    bytes: (sa.LargeBinary, False),
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

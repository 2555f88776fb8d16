"""Writes a log that lies in another database as a file in SQLite's format."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from store.sql.backend import Session
from store.sql.schema import METADATA, VERSION
from store.sql.sqlite import SqliteDatabase
from store.sql.statements import compiled

BATCH = 1000


def export(source: Session, file: Path) -> None:
    """The log as it is at one moment, row by row, to a new file."""
    with closing(SqliteDatabase(file, "OFF").session()) as target:
        target.begin_write()
        METADATA.create_all(target.connection, checkfirst=False)
        source.begin_read()
        for table in METADATA.sorted_tables:
            _table(source, target, table)
        target.cursor.execute("DELETE FROM sqlite_sequence")
        target.cursor.execute("INSERT INTO sqlite_sequence VALUES ('events', ?)", (source.last_row(),))
        target.set_schema_version(VERSION)
        source.end_read()
        target.commit()


def _table(source: Session, target: Session, table: sa.Table) -> None:
    names = [column.name for column in table.columns]
    text = compiled(sa.insert(table).values(dict.fromkeys(names)), target.texts.dialect, names)
    rows = source.connection.execute(sa.select(table).execution_options(stream_results=True))
    for part in rows.partitions(BATCH):
        target.cursor.executemany(text, [tuple(row) for row in part])

"""Yesterday's log still replays: events written by earlier versions, and what must follow from them.

`history-0.1.0.json` holds the exact bytes of a short life of the site root.a.x: commands that succeeded, were
superseded, cancelled, expired and left in doubt. `log-schema-2.db.gz` is the log of a root that holds the same and a
little of its own, as the version of schema 2 wrote it. They are never written again; a later version adds its own.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sqlite3
from base64 import b64decode
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from bus.event import Event
from store.api import Reader
from store.errors import LogDamaged
from store.memory import MemoryLog
from store.sql import open_log
from store.sql.migrations import revision
from store.sql.schema import METADATA, VERSION
from store.verify import verify
from tests.unit.store.samples import sample

HISTORIES = sorted(Path(__file__).parent.glob("history-*.json"))
LOGS = sorted(Path(__file__).parent.glob("log-schema-*.db.gz"))


def summary(reader: Reader[Event]) -> dict[str, object]:
    return {
        "streams": {f"{s.source} {s.epoch}": held for s, held in sorted(reader.streams("root").items())},
        "mailboxes": {f"{b.origin} {b.target}": held for b, held in sorted(reader.mailboxes("root").items())},
        "commands": {row.id: {t.target: t.state for t in reader.targets(row.id)} for row in reader.commands()},
        "clusters": {row.path: [row.state, dict(row.tags)] for row in reader.clusters("root")},
    }


@pytest.mark.parametrize("file", HISTORIES, ids=lambda file: file.stem)
async def test_a_history_replays(file: Path, tmp_path: Path) -> None:
    history = json.loads(file.read_text())
    events = [Event.decode(b64decode(body)) for body in history["events"]]
    memory: MemoryLog[Event] = MemoryLog("root")
    memory.apply(lambda tx: tx.record(events))
    memory.commit()
    assert memory.query(summary) == history["expected"]
    async with open_log(tmp_path / "log.db", source="root", decode=Event.decode) as log:
        await log.write(lambda tx: tx.record(events))
        assert await log.read(summary) == history["expected"]


def test_there_is_a_history() -> None:
    assert HISTORIES
    assert LOGS


@pytest.mark.parametrize("golden", LOGS, ids=lambda file: file.name)
async def test_a_log_of_an_earlier_schema_is_migrated(golden: Path, tmp_path: Path) -> None:
    file = tmp_path / "log.db"
    file.write_bytes(gzip.decompress(golden.read_bytes()))
    with closing(sqlite3.connect(file)) as db:
        bodies = db.execute("SELECT row, body FROM events ORDER BY row").fetchall()
        assert db.execute("PRAGMA user_version").fetchone() < (VERSION,)
    assert await asyncio.to_thread(verify, file, Event.decode) == [], "it was whole before"
    history = json.loads(HISTORIES[0].read_text())["expected"]
    for _ in range(2):
        async with open_log(file, source="root", decode=Event.decode) as log:
            told = await log.read(summary)
            assert {**told["commands"], **history["commands"]} == told["commands"]  # type: ignore[dict-item]
            assert told["clusters"] == {**history["clusters"], "root": ["online", {"old": ""}]}
            await log.write(lambda tx: tx.append(sample(99)))
            await log.rebuild()
            assert await log.read(summary) == {**told, "streams": (await log.read(summary))["streams"]}
    assert await asyncio.to_thread(verify, file, Event.decode) == []
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT row, body FROM events ORDER BY row").fetchall()[: len(bodies)] == bodies
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)


@pytest.mark.parametrize("golden", LOGS, ids=lambda file: file.name)
async def test_a_migrated_log_has_the_tables_of_a_new_one(golden: Path, tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    (tmp_path / "old.db").write_bytes(gzip.decompress(golden.read_bytes()))
    made = {}
    for name in ("old", "new"):
        async with open_log(tmp_path / f"{name}.db", source="root", decode=Event.decode):
            pass
        with sa.create_engine(f"sqlite:///{tmp_path / name}.db").connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
            tables = connection.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"))
            made[name] = {table: " ".join((sql or "").split()).replace('"', "") for table, sql in tables}
    assert made["old"] == made["new"]


def test_every_version_has_a_migration() -> None:
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(__file__).parents[2] / "store" / "sql" / "migrations"))
    assert scripts.get_current_head() == revision(VERSION)
    assert len(list(scripts.walk_revisions())) == VERSION - 1


async def test_a_log_of_a_later_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "log.db"
    async with open_log(file, source="root", decode=Event.decode):
        pass
    with closing(sqlite3.connect(file)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
        before = list(db.iterdump())
    with pytest.raises(LogDamaged, match="later version"):
        async with open_log(file, source="root", decode=Event.decode):
            pass
    with closing(sqlite3.connect(file)) as db:
        assert list(db.iterdump()) == before
    assert [finding.kind for finding in await asyncio.to_thread(verify, file, Event.decode)] == ["file"]

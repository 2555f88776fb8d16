"""Yesterday's log still replays: events written by earlier versions, and what must follow from them.

`history-0.1.0.json` holds the exact bytes of a short life of the site root.a.x: commands that succeeded, were
superseded, cancelled, expired and left in doubt. It is never written again; a later version adds its own.
"""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest

from bus.event import Event
from store.api import Reader
from store.memory import MemoryLog
from store.sql import open_log

HISTORIES = sorted(Path(__file__).parent.glob("history-*.json"))


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

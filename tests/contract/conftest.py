"""Every backend of the log, for the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bus.event import Event
from store.api import Log
from store.memory import MemoryLog
from store.sql import open_log


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Log[Event]]:
    """An empty log of `root.east`."""

    def postgresql() -> Log[Event]:
        url = request.getfixturevalue("postgres").url
        return open_log(url, source="root.east", decode=Event.decode)

    backends: dict[str, Callable[[], Log[Event]]] = {
        "memory": lambda: MemoryLog[Event]("root.east"),
        "sqlite": lambda: open_log(tmp_path / "log.db", source="root.east", decode=Event.decode),
        "postgresql": postgresql,
    }
    async with backends[request.param]() as opened:
        yield opened

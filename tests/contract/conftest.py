"""Every backend of the log, for the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bus.event import Event
from bus.signing import Signer
from store.api import Log, Sign
from store.memory import MemoryLog
from store.sql import open_log
from tests.support import new_seed

BACKENDS = ["memory", "sqlite", "postgresql"]


@pytest.fixture(params=BACKENDS)
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Log[Event]]:
    """An empty log of `root.east`."""
    async with _opened(request, tmp_path) as opened:
        yield opened


@pytest.fixture
def signer() -> Signer:
    """The key of `root.east`."""
    return Signer(new_seed())


@pytest.fixture(params=BACKENDS)
async def signed_log(request: pytest.FixtureRequest, tmp_path: Path, signer: Signer) -> AsyncIterator[Log[Event]]:
    """The same, of a tier that signs what it says."""
    async with _opened(request, tmp_path, signer) as opened:
        yield opened


def _opened(request: pytest.FixtureRequest, tmp_path: Path, sign: Sign | None = None) -> Log[Event]:
    def postgresql() -> Log[Event]:
        url = request.getfixturevalue("postgres").url
        return open_log(url, source="root.east", decode=Event.decode, sign=sign)

    backends: dict[str, Callable[[], Log[Event]]] = {
        "memory": lambda: MemoryLog[Event]("root.east", sign=sign),
        "sqlite": lambda: open_log(tmp_path / "log.db", source="root.east", decode=Event.decode, sign=sign),
        "postgresql": postgresql,
    }
    return backends[request.param]()

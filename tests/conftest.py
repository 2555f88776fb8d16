"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import NatsServer


@pytest.fixture
def nats_servers(tmp_path: Path) -> Iterator[Callable[..., NatsServer]]:
    """Starts real servers: `nats_servers(config="...")`, each on ports of its own."""
    with ExitStack() as running:

        def start(config: str = "") -> NatsServer:
            directory = tmp_path / f"nats-{len(started)}"
            server = running.enter_context(NatsServer(directory, config))
            started.append(server)
            return server

        started: list[NatsServer] = []
        yield start


@pytest.fixture
def nats_server(nats_servers: Callable[..., NatsServer]) -> NatsServer:
    """One real server with default settings."""
    return nats_servers()

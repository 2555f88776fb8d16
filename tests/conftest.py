"""Fixtures for all tests."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from bus.client import Bus
from leafnodes.ports import HIGHEST, LOWEST, RANGE
from tests.postgres import PostgresServer, binaries
from tests.support import NatsServer


def _own_ports() -> None:
    """A server that a test kills must find its port again: each worker takes from a range of its own. Who starts the
    workers sets nothing, for they inherit it."""
    if (worker := os.environ.get("PYTEST_XDIST_WORKER")) is None:
        return
    lowest, highest = map(int, os.environ.get(RANGE, f"{LOWEST}-{HIGHEST}").split("-"))
    share = (highest + 1 - lowest) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    first = lowest + share * int(worker.removeprefix("gw"))
    os.environ[RANGE] = f"{first}-{first + share - 1}"


_own_ports()

# How long one example takes says more about the machine than about the code.
settings.register_profile("ote", deadline=None)
settings.load_profile("ote")


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


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Awaitable[Bus]]]:
    """Connects to a server: `bus = await connect(server, **options of Bus.connect)`; closed at the end."""
    async with AsyncExitStack() as open_:

        async def connected(server: NatsServer, **options: Any) -> Bus:
            return await open_.enter_async_context(await Bus.connect(server.url, **{"name": "test", **options}))

        yield connected


@pytest.fixture
async def bus(nats_server: NatsServer, connect: Callable[..., Awaitable[Bus]]) -> Bus:
    """A connection to a server of its own."""
    return await connect(nats_server)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a log can be, for `open_log`: a file, and a database; empty."""
    if request.param == "sqlite":
        return str(tmp_path / "log.db")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests of this process. Skipped where it is not installed, but not in CI."""
    for missing, there in (("server", binaries()), ("driver psycopg", importlib.util.find_spec("psycopg"))):
        if there is None and not os.environ.get("OTE_CI"):
            pytest.skip(f"no PostgreSQL {missing} is installed")
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """The same, without any log in it."""
    yield postgres_server
    postgres_server.empty()

"""The server fixture that all other tests stand on."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from tests.support import NatsServer, eventually


def greeting(server: NatsServer) -> bytes:
    with socket.create_connection((server.host, server.port), timeout=5) as connection:
        return connection.recv(4)


def test_a_real_server_answers_and_keeps_its_port(nats_server: NatsServer) -> None:
    port = nats_server.port
    assert greeting(nats_server) == b"INFO"
    nats_server.stop()
    with pytest.raises(ConnectionRefusedError):
        greeting(nats_server)
    nats_server.start()
    assert nats_server.port == port
    assert greeting(nats_server) == b"INFO"


def test_servers_have_ports_and_settings_of_their_own(nats_servers: Callable[..., NatsServer]) -> None:
    hub = nats_servers("leafnodes { listen: 127.0.0.1:{leaf_port} }")
    other = nats_servers()
    assert hub.port != other.port
    with socket.create_connection((hub.host, hub.leaf_port), timeout=5) as connection:
        assert connection.recv(4) == b"INFO"


async def test_eventually_waits_for_a_condition_and_says_what_did_not_happen() -> None:
    tries: list[int] = []

    async def third() -> bool:
        tries.append(1)
        assert len(tries) > 1
        return len(tries) == 3

    assert await eventually(third)
    with pytest.raises(AssertionError, match="the moon"):
        await eventually(lambda: False, 0.01, what="the moon")

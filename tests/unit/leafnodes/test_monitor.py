from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bus.errors import Unavailable
from leafnodes import monitor
from leafnodes.monitor import Monitor, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("244µs", 0.000244), ("1.5ms", 0.0015), ("2s", 2), ("1m2.5s", 62.5), ("1h0m1s", 3601), ("900ns", 9e-7), ("", 0)],
)
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[Monitor]:
    """A monitor of a port where everybody gets these bytes."""

    def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    async with server:
        yield Monitor(server.sockets[0].getsockname()[1])


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n[]", b"HTTP/1.0 200 OK\r\n\r\n{}"]
)
async def test_what_is_no_nats_server_is_unavailable(answer: bytes) -> None:
    async with answering(answer) as other:
        with pytest.raises(Unavailable):
            await other.varz()
        assert not await other.ready()


async def test_links_are_typed() -> None:
    body = (
        b'{"leafs": [{"id": 6, "name": "root.east-0a1b", "is_spoke": true, "ip": "10.0.0.1", "port": 7422,'
        b' "rtt": "2ms", "in_msgs": 3, "out_msgs": 4, "in_bytes": 5, "out_bytes": 6, "compression": "off"}]}'
    )
    async with answering(b"HTTP/1.0 200 OK\r\n\r\n" + body) as server:
        (link,) = await server.leafz()
    assert (link.path, link.to_parent, link.rtt, link.ip, link.in_msgs) == ("root.east", True, 0.002, "10.0.0.1", 3)


async def test_a_silent_port_is_unavailable_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unavailable, match="TimeoutError"):
        await Monitor(silent.getsockname()[1]).varz()


async def test_no_port_at_all_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        await Monitor(1).varz()

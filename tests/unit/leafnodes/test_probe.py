"""What looks like what: real sockets that answer, refuse, hang up, or say nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from leafnodes.config import address_of, at_address
from leafnodes.ports import free_port
from leafnodes.probe import SLOW, Health, probe

Said = bytes | None


@asynccontextmanager
async def listening(said: Said, after: float = 0.0) -> AsyncIterator[str]:
    """A port that says this, then waits for the other to go; None: it hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if said is not None:
            await asyncio.sleep(after)
            writer.write(said)
            await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize(
    ("said", "after", "health"),
    [
        (b'INFO {"server_name": "x"}\r\n', 0.0, Health.GOOD),
        (b"INFO {}\r\n", SLOW * 1.2, Health.SLOW),
        (b"", 0.0, Health.HUNG),
        (None, 0.0, Health.DEAD),
        (b"HTTP/1.1 400 Bad Request\r\n", 0.0, Health.DEAD),
    ],
)
async def test_health(said: Said, after: float, health: Health) -> None:
    async with listening(said, after) as address:
        found = await probe(address, 0.5)
    assert found.health is health
    assert (found.took is not None) == health.answers


async def test_who_is_not_there_is_dead() -> None:
    assert (await probe(f"127.0.0.1:{free_port()}")).health is Health.DEAD
    assert (await probe("no address")).health is Health.DEAD


def test_addresses_of_urls() -> None:
    url = "nats-leaf://child:p%40ss@east.example:7422"
    assert address_of(url) == "east.example:7422"
    assert at_address(url, "10.0.0.1:7423") == "nats-leaf://child:p%40ss@10.0.0.1:7423"
    assert at_address("nats-leaf://east:1", "[::1]:2") == "nats-leaf://[::1]:2"

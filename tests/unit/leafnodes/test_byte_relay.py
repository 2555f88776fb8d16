"""Bytes of siblings, passed on: to one address, few at a time, and only while this tier is attached itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from leafnodes import byte_relay
from leafnodes.byte_relay import BUFFER, ByteRelay
from leafnodes.probe import Health, probe
from tests.support import eventually

INFO = b"INFO {}\r\n"


class Parent:
    """Says a first word to whoever comes, and then what it hears; `silent` it does not even read."""

    def __init__(self) -> None:
        self.silent = False
        self.there: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.there.add(writer)
        try:
            writer.write(INFO)
            while self.silent or (chunk := await reader.read(65536)):
                if self.silent:
                    await asyncio.sleep(0.01)
                else:
                    writer.write(chunk)
                    await writer.drain()
        except OSError:
            return
        finally:
            self.there.discard(writer)
            writer.transport.abort()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.silent = False
        for writer in list(self.there):
            writer.transport.abort()


@asynccontextmanager
async def carrying(most: int = 2) -> AsyncIterator[tuple[Parent, ByteRelay]]:
    parent = Parent()
    relay = ByteRelay(f"127.0.0.1:{await parent.start()}", most)
    relay.is_open = lambda: True
    await relay.start()
    try:
        yield parent, relay
    finally:
        await relay.stop()
        await parent.stop()


async def dial(relay: ByteRelay) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", relay.port)


async def ends(reader: asyncio.StreamReader) -> None:
    """The other end hangs up, in one way or another."""
    async with asyncio.timeout(5):
        try:
            while await reader.read(65536):
                pass
        except ConnectionError:
            return


async def test_what_either_end_says_arrives_as_it_is() -> None:
    async with carrying() as (_, relay):
        reader, writer = await dial(relay)
        assert await reader.readline() == INFO
        said = bytes(range(256)) * 4096
        writer.write(said)
        assert await reader.readexactly(len(said)) == said
        await eventually(lambda: relay.traffic.up == len(said), what="it is counted")
        writer.close()
        await eventually(lambda: relay.carried == 0, what="nothing is left")


async def test_what_the_parent_says_last_still_arrives() -> None:
    async with carrying() as (parent, relay):
        reader, _ = await dial(relay)
        assert await reader.readline() == INFO
        (there,) = parent.there
        there.write(b"-ERR 'because'\r\n")
        there.close()
        assert await reader.readline() == b"-ERR 'because'\r\n"
        await ends(reader)


async def test_it_carries_no_more_than_it_may_and_a_place_that_is_free_is_given_again() -> None:
    async with carrying(most=2) as (_, relay):
        held = [await dial(relay) for _ in range(2)]
        for reader, _ in held:
            assert await reader.readline() == INFO
        reader, _ = await dial(relay)
        await ends(reader)
        assert (relay.carried, relay.traffic.refused) == (2, 1)
        held[0][1].close()
        await eventually(lambda: relay.carried == 1, what="a place is free")
        reader, _ = await dial(relay)
        assert await reader.readline() == INFO


@pytest.mark.parametrize("state", ["closed", "dead", "good"])
async def test_a_probe_through_it_finds_the_parent_and_a_relay_that_is_closed_looks_dead(state: str) -> None:
    async with carrying() as (parent, relay):
        if state == "closed":
            relay.is_open = lambda: False
        elif state == "dead":
            await parent.stop()
        found = await probe(f"127.0.0.1:{relay.port}")
        assert found.health is (Health.GOOD if state == "good" else Health.DEAD)


async def test_all_are_let_go_when_its_own_link_is_gone_and_come_back_with_it() -> None:
    async with carrying() as (_, relay):
        reader, _ = await dial(relay)
        assert await reader.readline() == INFO
        relay.is_open = lambda: False
        relay.let_go()
        await ends(reader)
        reader, _ = await dial(relay)
        await ends(reader)
        relay.is_open = lambda: True
        reader, _ = await dial(relay)
        assert await reader.readline() == INFO


async def test_what_the_parent_does_not_take_waits_at_the_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_relay, "STALLED", 0.5)
    async with carrying() as (parent, relay):
        reader, writer = await dial(relay)
        assert await reader.readline() == INFO
        parent.silent = True
        with suppress(ConnectionError):
            while True:
                writer.write(bytes(BUFFER))
                await writer.drain()
        # What the system holds for both connections comes to some megabytes; this process holds two buffers.
        assert relay.traffic.up < 30 * 1024 * 1024
        await eventually(lambda: relay.carried == 0, what="it hangs up on who takes nothing")
        parent.silent = False
        reader, writer = await dial(relay)
        assert await reader.readline() == INFO
        writer.write(b"again\n")
        assert await reader.readline() == b"again\n"

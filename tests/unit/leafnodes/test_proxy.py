from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from leafnodes.proxy import LinkProxy
from tests.support import eventually

HOST = "127.0.0.1"
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[LinkProxy], Awaitable[Ends]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write(b"bye")
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[LinkProxy]:
    """A link to an echo; after the test nothing of the proxy may be left."""
    async with await asyncio.start_server(echo, HOST, 0) as server:
        async with LinkProxy(HOST, server.sockets[0].getsockname()[1]) as proxy:
            yield proxy
        assert proxy.connections == 0
        assert not [task for task in asyncio.all_tasks() if "LinkProxy" in repr(task)]


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Connects to a proxy; the connections end with the test."""
    writers: list[asyncio.StreamWriter] = []

    async def connect(proxy: LinkProxy) -> Ends:
        reader, writer = await asyncio.open_connection(HOST, proxy.port)
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.transport.abort()
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


async def says(ends: Ends, data: bytes) -> bytes:
    reader, writer = ends
    writer.write(data)
    return await asyncio.wait_for(reader.readexactly(len(data)), 10)


async def test_all_bytes_pass_and_are_counted(proxy: LinkProxy, dial: Dial) -> None:
    one, two = await dial(proxy), await dial(proxy)
    data = bytes(range(256)) * 4096
    assert await says(one, data) == data
    assert await says(two, b"x") == b"x"
    await eventually(lambda: proxy.down.sent == len(data) + 1)
    assert (proxy.up.sent, proxy.accepted, proxy.connections) == (len(data) + 1, 2, 2)
    for _, writer in (one, two):
        writer.close()
    await eventually(lambda: proxy.connections == 0)


async def test_what_the_target_said_before_it_closed_arrives(proxy: LinkProxy, dial: Dial) -> None:
    last_words = b"x" * 300_000

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(last_words)
        writer.close()

    server = await asyncio.start_server(speak, HOST, 0)
    async with server, LinkProxy(HOST, server.sockets[0].getsockname()[1], delay=0.02) as link:
        reader, _ = await dial(link)
        assert await asyncio.wait_for(reader.read(-1), 10) == last_words


async def test_cut_resets_and_refuses_and_heal_listens_on_the_same_port(proxy: LinkProxy, dial: Dial) -> None:
    ends = await dial(proxy)
    await says(ends, b"hello")
    port = proxy.port
    await proxy.cut()
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await says(ends, b"hello")
    with pytest.raises(ConnectionRefusedError):
        await dial(proxy)
    await proxy.cut()
    await proxy.heal()
    assert proxy.port == port
    again = await dial(proxy)
    assert await says(again, b"again") == b"again"


async def test_hang_keeps_connections_and_heal_brings_what_was_held(proxy: LinkProxy, dial: Dial) -> None:
    old = await dial(proxy)
    await says(old, b"hello")
    await proxy.hang()
    new = await dial(proxy)
    for number, (reader, writer) in enumerate((old, new)):
        writer.write(b"%d" % number)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
    assert proxy.connections == 2
    await proxy.heal()
    assert [await asyncio.wait_for(reader.read(1), 10) for reader, _ in (old, new)] == [b"0", b"1"]


async def test_an_end_is_not_noticed_while_the_link_hangs(proxy: LinkProxy, dial: Dial) -> None:
    reader, writer = await dial(proxy)
    await says((reader, writer), b"hello")
    await proxy.hang()
    writer.write_eof()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    assert proxy.connections == 1
    await proxy.heal()
    assert await asyncio.wait_for(reader.read(-1), 10) in (b"", b"bye")
    await eventually(lambda: proxy.connections == 0)


async def test_a_hanging_link_can_be_cut_and_a_cut_one_can_hang(proxy: LinkProxy, dial: Dial) -> None:
    await proxy.hang()
    reader, writer = await dial(proxy)
    await eventually(lambda: proxy.connections == 1)
    await proxy.cut()
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await says((reader, writer), b"x")
    await proxy.hang()
    reader, writer = await dial(proxy)
    writer.write(b"x")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)


async def test_one_way_can_hang_alone(proxy: LinkProxy, dial: Dial) -> None:
    reader, writer = await dial(proxy)
    await says((reader, writer), b"hello")
    await proxy.hang(up=False)
    writer.write(b"heard")
    await eventually(lambda: proxy.up.sent == len(b"hello" + b"heard"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    await proxy.heal()
    assert await asyncio.wait_for(reader.readexactly(5), 10) == b"heard"
    await proxy.hang(down=False)
    writer.write(b"later")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    assert proxy.up.sent == len(b"hello" + b"heard")
    await proxy.heal()
    assert await asyncio.wait_for(reader.readexactly(5), 10) == b"later"


async def test_a_parent_that_is_forsaken_keeps_its_end(dial: Dial) -> None:
    parents: list[Ends] = []

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parents.append((reader, writer))
        await writer.wait_closed()

    server = await asyncio.start_server(hold, HOST, 0)
    async with server, LinkProxy(HOST, server.sockets[0].getsockname()[1]) as link:
        child = await dial(link)
        await eventually(lambda: parents)
        link.forsake()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await child[0].readexactly(1)
        reader, writer = parents[0]
        writer.write(b"are you there?")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        assert link.connections == 1
        # A new connection is as any.
        again = await dial(link)
        again[1].write(b"here")
        await eventually(lambda: len(parents) == 2)
        assert await asyncio.wait_for(parents[1][0].readexactly(4), 10) == b"here"
        # The parent gives up.
        writer.close()
        await eventually(lambda: link.connections == 1)
        parents[1][1].close()


async def test_what_is_lost_comes_later_and_in_order(proxy: LinkProxy, dial: Dial) -> None:
    ends = await dial(proxy)
    proxy.loss = 0.3
    data = bytes(range(256)) * 600
    assert await says(ends, data) == data
    proxy.loss = 0.0
    assert await says(ends, b"whole") == b"whole"


async def test_delay_holds_each_way_and_keeps_order(proxy: LinkProxy, dial: Dial) -> None:
    clock = asyncio.get_running_loop().time
    ends = await dial(proxy)
    await says(ends, b"warm")
    proxy.delay = 0.1
    before = clock()
    await says(ends, b"slow")
    assert clock() - before >= 0.2
    before = clock()
    data = bytes(range(256)) * 1000
    assert await says(ends, data) == data
    assert 0.2 <= clock() - before < 5


async def test_the_rate_is_shared_by_all_connections_of_one_direction(proxy: LinkProxy, dial: Dial) -> None:
    clock = asyncio.get_running_loop().time
    proxy.rate = 200_000
    links = [await dial(proxy) for _ in range(2)]
    before = clock()
    await asyncio.gather(*(says(ends, b"x" * 40_000) for ends in links))
    assert 0.4 <= clock() - before < 5


async def test_a_target_that_is_away_closes_the_connection(dial: Dial) -> None:
    async with await asyncio.start_server(echo, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
    async with LinkProxy(HOST, port) as link:
        reader, writer = await dial(link)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await says((reader, writer), b"x")
        await eventually(lambda: link.connections == 0)


async def test_nobody_else_gets_the_port_of_a_link_that_is_cut(proxy: LinkProxy, dial: Dial) -> None:
    assert await says(await dial(proxy), b"up") == b"up"
    await proxy.cut()
    with pytest.raises(OSError, match="address already in use"):
        await asyncio.start_server(echo, HOST, proxy.port)
    with pytest.raises(OSError, match="already in use"):
        await LinkProxy(HOST, 1, port=proxy.port).start()
    await proxy.heal()
    assert await says(await dial(proxy), b"up again") == b"up again"
    await proxy.stop()
    async with await asyncio.start_server(echo, HOST, proxy.port):
        pass


async def test_a_port_that_is_taken_is_an_error() -> None:
    async with await asyncio.start_server(echo, HOST, 0) as server:
        with pytest.raises(OSError, match="in use"):
            await LinkProxy(HOST, 1, port=server.sockets[0].getsockname()[1]).start()

"""The client when its server goes away, hangs, throws it out, or is too slow: and when it is too slow itself."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlparse

import pytest
import uvloop
from nats.aio.client import Server

from bus import client, opening
from bus.client import Bus, Message, NoAnswer
from bus.errors import Unavailable
from tests.support import NatsServer, eventually

Connect = Callable[..., Awaitable[Bus]]


@contextmanager
def frozen(server: NatsServer) -> Iterator[None]:
    """A server that hangs: it keeps its connections and does nothing."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def test_requests_fail_at_once_while_the_server_is_away_and_work_when_it_is_back(
    nats_server: NatsServer, connect: Connect
) -> None:
    states: list[bool] = []
    bus = await connect(nats_server, on_state=states.append)
    await bus.subscribe("echo", lambda message: message.respond(message.data))
    await bus.subscribe("silent", lambda message: None)
    await bus.flush()
    in_flight = asyncio.create_task(bus.request("silent", b"", timeout=60))
    await asyncio.sleep(0)
    nats_server.kill()
    with pytest.raises(NoAnswer, match="connection was lost"):
        await asyncio.wait_for(in_flight, 30)
    assert states == [False]
    assert not bus.connected
    start = time.monotonic()
    with pytest.raises(Unavailable, match="not connected"):
        await bus.request("echo", b"", timeout=60)
    with pytest.raises(Unavailable, match="not connected"):
        bus.send("echo", b"")
    with pytest.raises(Unavailable, match="not connected"):
        await bus.publish("echo", b"")
    with pytest.raises(Unavailable, match="not connected"):
        await bus.flush()
    assert time.monotonic() - start < 30, "none of them waits for its deadline"
    nats_server.start()
    await eventually(lambda: states == [False, True])
    assert (await bus.request("echo", b"again", timeout=30)).data == b"again"
    assert bus.stats.reconnects == 1


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_what_is_sent_in_the_moment_in_which_the_connection_dies_is_lost_and_raises_nothing(
    nats_server: NatsServer, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """uvloop knows of it before nats-py does: a commit that is told of in that moment is still told to all."""

    async def dies() -> None:
        states: list[bool] = []
        problems: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, problem: problems.append(problem))
        bus = await Bus.connect(nats_server.url, name="test", on_state=states.append)
        try:
            connection = bus._connection
            transport: Any = connection._transport
            transport._io_writer.transport.abort()
            bus.send("lost", b"at once")
            bus.send("lost", b"at the end of the turn")
            await eventually(lambda: states == [False, True])
            await bus.flush()
            assert problems == []
        finally:
            await bus.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(dies())


async def test_what_failed_during_an_outage_is_not_sent_later(nats_server: NatsServer, connect: Connect) -> None:
    bus = await connect(nats_server)
    heard: list[bytes] = []
    nats_server.kill()
    await eventually(lambda: not bus.connected)
    with pytest.raises(Unavailable):
        await bus.request("r", b"stale", timeout=30)
    await bus.subscribe("r", lambda message: heard.append(message.data))
    nats_server.start()
    await eventually(lambda: bus.connected)
    await bus.publish("r", b"fresh")
    await bus.flush()
    assert heard == [b"fresh"]


async def test_a_subscription_ended_during_an_outage_stays_ended(nats_server: NatsServer, connect: Connect) -> None:
    bus = await connect(nats_server)
    subscription = await bus.subscribe("r", lambda message: message.respond(b""))
    nats_server.kill()
    await eventually(lambda: not bus.connected)
    await subscription.end()
    nats_server.start()
    await eventually(lambda: bus.connected)
    with pytest.raises(NoAnswer) as nobody:
        await bus.request("r", b"", timeout=30)
    assert nobody.value.no_responders


async def test_a_bus_can_be_closed_while_the_server_is_away(nats_server: NatsServer, connect: Connect) -> None:
    bus = await connect(nats_server)
    nats_server.kill()
    await eventually(lambda: not bus.connected)
    await asyncio.wait_for(bus.drain(), 30)
    await asyncio.wait_for(bus.close(), 30)


async def test_a_server_that_throws_us_out_gets_us_back(nats_server: NatsServer, connect: Connect) -> None:
    states: list[bool] = []
    bus = await connect(nats_server, on_state=states.append)
    await bus.subscribe("echo", lambda message: message.respond(message.data))
    # Past the checks of the bus: the server answers with an error and ends the connection.
    bus._connection.send("echo", "", b"", b"x" * (bus.max_payload + 1))
    await eventually(lambda: states == [False, True])
    assert (await bus.request("echo", b"back", timeout=30)).data == b"back"


async def test_a_server_that_hangs_is_noticed(
    nats_server: NatsServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "PING_INTERVAL", 0.1)
    states: list[bool] = []
    bus = await connect(nats_server, on_state=states.append)
    with frozen(nats_server):
        await eventually(lambda: states == [False])
        with pytest.raises(Unavailable, match="not connected"):
            await bus.request("echo", b"", timeout=60)
    await eventually(lambda: states == [False, True])


async def test_a_server_that_does_not_read_bounds_what_waits_for_it(
    nats_server: NatsServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 4 * 1024 * 1024
    monkeypatch.setattr(client, "UNSENT_LIMIT", limit)
    bus = await connect(nats_server)
    block = b"x" * 512 * 1024
    with frozen(nats_server):

        async def full() -> bool:
            """Whether the system's own buffers are full as well: it takes megabytes that nobody reads."""
            with pytest.raises(Unavailable, match="does not read"):
                for _ in range(1000):
                    bus.send("flood", block)
            unsent = bus._connection.unsent
            assert unsent < limit + 2 * len(block)
            await asyncio.sleep(0.05)
            return bus._connection.unsent == unsent

        await eventually(full)
        waiting = asyncio.create_task(bus._connection.sent())
        await asyncio.sleep(0)
        assert not waiting.done(), "publish would not wait"
    await asyncio.wait_for(waiting, 30)
    await bus.publish("flood", block)


async def test_a_server_that_does_not_read_cannot_hold_up_the_end(nats_server: NatsServer, connect: Connect) -> None:
    bus = await connect(nats_server)
    with frozen(nats_server):
        for _ in range(20):
            bus.send("flood", b"x" * 512 * 1024)
        await asyncio.wait_for(bus.close(), 30)


def flood(server: NatsServer, subject: str, count: int, size: int) -> None:
    """Publishes from a connection of its own, without asyncio."""
    with socket.create_connection((server.host, server.port), timeout=30) as connection:
        connection.recv(4096)
        message = b"PUB %s %d\r\n%s\r\n" % (subject.encode(), size, b"x" * size)
        connection.sendall(b'CONNECT {"verbose":false}\r\n' + message * count + b"PING\r\n")
        while b"PONG" not in connection.recv(4096):
            pass


async def test_a_client_that_is_too_slow_loses_messages_comes_back_and_is_told(
    nats_servers: Callable[..., NatsServer], connect: Connect
) -> None:
    """The server throws out who does not read for long: what is lost then, repair has to bring."""
    server = nats_servers('max_pending: 1MB\nwrite_deadline: "100ms"')
    states: list[bool] = []
    bus = await connect(server, on_state=states.append)
    heard: list[Message] = []
    await bus.subscribe("flood", heard.append)
    await bus.flush()
    flooding = threading.Thread(target=flood, args=(server, "flood", 1000, 60_000))
    flooding.start()
    flooding.join()  # The event loop stands still while 60 MB come in.
    await eventually(lambda: states == [False, True])
    assert len(heard) < 1000
    assert bus.stats.reconnects == 1
    flood(server, "flood", 1, 1)
    await eventually(lambda: heard and heard[-1].data == b"x")


def test_tries_are_spread_and_go_round() -> None:
    servers = [Server(uri=urlparse(f"nats://h{n}:4222"), reconnects=n) for n in (3, 0, 1)]
    pauses = []
    for _ in range(200):
        server, pause = opening.next_try(servers, {})
        assert server is servers[1]
        pauses.append(pause)
    assert 0 <= min(pauses) < max(pauses) <= opening.FIRST_PAUSE
    assert len(set(pauses)) > 100
    worn = [Server(uri=urlparse("nats://h:4222"), reconnects=10_000)]
    assert all(opening.next_try(worn, {})[1] <= opening.LONGEST_PAUSE for _ in range(200))

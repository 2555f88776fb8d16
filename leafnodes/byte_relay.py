"""Passes the leaf connections of siblings on to this tier's own parent, byte for byte.

It is no hub: the sibling's server talks to the parent from end to end, with its own login, and nothing is added to
whom it must trust. It is no open proxy either: it leads to one address only, and only while this tier has a link there
of its own, so that no chain of relays and no ring can come about. Memory is bounded by the number of connections: of
each, two buffers hold what one end has sent and the other has not taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from leafnodes.auth import netloc
from leafnodes.config import LOOPBACK

#: Bytes of one direction of a connection that may wait, at the reader and at the writer each.
BUFFER = 64 * 1024
#: How long the parent may take to accept a connection (seconds).
PATIENCE = 2.0
#: Who takes nothing for so long is hung up on, as NATS does (seconds).
STALLED = 15.0
#: Connections that wait to be accepted.
BACKLOG = 16


@dataclass(slots=True)
class Traffic:
    """Bytes that were passed on, to the parent and back, and connections that were refused."""

    up: int = 0
    down: int = 0
    refused: int = 0


class ByteRelay:
    """Listens on `host`, and passes at most `most` connections on to `target` (host:port) while `is_open` says so."""

    def __init__(self, target: str, most: int) -> None:
        self.most = most
        self.traffic = Traffic()
        #: Whether this tier has a link of its own to its parent.
        self.is_open: Callable[[], bool] = lambda: False
        host, _, port = target.rpartition(":")
        self._target = host.strip("[]"), int(port)
        self._listener: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    @property
    def carried(self) -> int:
        """How many connections it holds now."""
        return len(self._links)

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._listener is not None, "it is not started"
        return int(self._listener.sockets[0].getsockname()[1])

    async def start(self, host: str = LOOPBACK, port: int = 0) -> None:
        """Returns when it listens. OSError if the port is taken."""
        self._listener = await asyncio.start_server(self._accept, host, port, limit=BUFFER // 2, backlog=BACKLOG)

    async def stop(self) -> None:
        """Ends it; nothing of it is left."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        self.let_go()
        await asyncio.gather(*self._links, return_exceptions=True)

    def let_go(self) -> None:
        """Ends all connections: who was carried looks for another way."""
        for link in self._links:
            link.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._listener is None or len(self._links) >= self.most or not self.is_open():
            self.traffic.refused += 1
            writer.transport.abort()
            return
        link = asyncio.create_task(self._carry(reader, writer), name=f"relay to {netloc(*self._target)}")
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either end closes it."""
        ends = [writer]
        try:
            async with asyncio.timeout(PATIENCE):
                far_reader, far_writer = await asyncio.open_connection(*self._target, limit=BUFFER // 2)
            ends.append(far_writer)
            ways = (self._pass(reader, far_writer, is_up=True), self._pass(far_reader, writer, is_up=False))
            passing = [asyncio.create_task(way, name="pass bytes on") for way in ways]
            try:
                await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in passing:
                    task.cancel()
                await asyncio.gather(*passing, return_exceptions=True)
            for end in ends:
                # What one end said last, as why it hangs up, still reaches the other.
                end.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await asyncio.gather(*(end.wait_closed() for end in ends))
        except (OSError, TimeoutError):
            return
        finally:
            for end in ends:
                end.transport.abort()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_up: bool) -> None:
        sink.transport.set_write_buffer_limits(high=BUFFER)
        with suppress(OSError, TimeoutError):
            while chunk := await source.read(BUFFER // 2):
                sink.write(chunk)
                async with asyncio.timeout(STALLED):
                    await sink.drain()
                if is_up:
                    self.traffic.up += len(chunk)
                else:
                    self.traffic.down += len(chunk)

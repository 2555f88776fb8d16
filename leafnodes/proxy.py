"""A link whose faults are made to order: a TCP proxy between a child and its parent.

It stands in for the cable in the lab and in tests: cut (an unplugged parent: refused and reset), hang
(a black hole: connections stay, nothing passes), slow (delay and bandwidth, each way).
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from leafnodes.config import LOOPBACK
from leafnodes.ports import free_port, hold

CHUNK = 16 * 1024
IN_FLIGHT = 256
FLUSH = 1.0

_UnderWay = asyncio.Queue[tuple[float, bytes]]


class _Closed(Exception):
    """One end has closed its connection, and all that it sent has been handed over."""


@dataclass(slots=True)
class Lane:
    """One direction of the link. `sent` counts the bytes that arrived at the other end."""

    sent: int = 0
    _free_at: float = field(default=0.0, repr=False)

    async def pace(self, size: int, rate: float | None) -> None:
        """Waits for the lane's bandwidth (bytes/s), which all its connections share."""
        if rate is None:
            return
        clock = asyncio.get_running_loop().time
        self._free_at = max(self._free_at, clock()) + size / rate
        await asyncio.sleep(self._free_at - clock())


class LinkProxy:
    """Listens on `port` (0: a free one, kept while cut) and passes all on to the target.

    `delay` (seconds) and `rate` (bytes/s, None: unlimited) hold for each direction and may be set at
    any time. `up` counts what went to the target, `down` what came back, `accepted` the connections."""

    def __init__(
        self,
        target_host: str,
        target_port: int,
        *,
        host: str = LOOPBACK,
        port: int = 0,
        delay: float = 0.0,
        rate: float | None = None,
    ) -> None:
        self.host = host
        self.port = port or free_port(host)
        self.delay = delay
        self.rate = rate
        self.up = Lane()
        self.down = Lane()
        self.accepted = 0
        self._target = (target_host, target_port)
        self._held: socket.socket | None = None
        self._listener: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._passing = asyncio.Event()

    @property
    def connections(self) -> int:
        """How many connections it holds now."""
        return len(self._links)

    async def start(self) -> None:
        """Returns when the link is up. OSError if the port is taken."""
        await self.heal()

    async def stop(self) -> None:
        """Ends the link for good; nothing of it is left running."""
        await self.cut()
        held, self._held = self._held, None
        if held is not None:
            held.close()

    async def cut(self) -> None:
        """Resets all connections and refuses new ones."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)
        if listener is not None:
            await listener.wait_closed()

    async def hang(self) -> None:
        """Keeps all connections, accepts new ones, and lets nothing through: no byte and no end."""
        self._passing.clear()
        await self._listen()

    async def heal(self) -> None:
        """Lets all through again; what a hang held back arrives now."""
        self._passing.set()
        await self._listen()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def _listen(self) -> None:
        if self._held is None:
            self._held = hold(self.host, self.port)
        if self._listener is None:
            self._listener = await asyncio.start_server(
                self._accept, self.host, self.port, limit=CHUNK, reuse_port=True
            )

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._listener is None:  # cut while this connection was being set up
            writer.transport.abort()
            return
        self.accepted += 1
        link = asyncio.create_task(self._carry(reader, writer), name=f"link {self.port} #{self.accepted}")
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either end closes it: what was sent before that still arrives."""
        ends = [writer]
        try:
            await self._passing.wait()
            far_reader, far_writer = await asyncio.open_connection(*self._target, limit=CHUNK)
            ends.append(far_writer)
            async with asyncio.TaskGroup() as group:
                for source, sink, lane in ((reader, far_writer, self.up), (far_reader, writer, self.down)):
                    under_way = _UnderWay(IN_FLIGHT)
                    group.create_task(self._take(source, under_way), name="take")
                    group.create_task(self._give(under_way, sink, lane), name="give")
        except* (_Closed, OSError):
            for end in ends:
                end.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(FLUSH):
                    await asyncio.gather(*(end.wait_closed() for end in ends))
        finally:
            for end in ends:
                end.transport.abort()

    async def _take(self, source: asyncio.StreamReader, under_way: _UnderWay) -> None:
        clock = asyncio.get_running_loop().time
        chunk = b"."
        while chunk:
            try:
                chunk = await source.read(CHUNK)
            except OSError:
                chunk = b""
            await under_way.put((clock() + self.delay, chunk))

    async def _give(self, under_way: _UnderWay, sink: asyncio.StreamWriter, lane: Lane) -> None:
        """Hands over each chunk `delay` after it came in; raises _Closed at the end of the stream."""
        clock = asyncio.get_running_loop().time
        while True:
            due, chunk = await under_way.get()
            await asyncio.sleep(due - clock())
            await lane.pace(len(chunk), self.rate)
            await self._passing.wait()
            if not chunk:
                raise _Closed
            sink.write(chunk)
            await sink.drain()
            lane.sent += len(chunk)

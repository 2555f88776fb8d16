"""A link whose faults are made to order: a TCP proxy between a child and its parent.

It stands in for the cable in the lab and in tests: cut (an unplugged parent: refused and reset), hang
(a black hole: connections stay, nothing passes; or one way only), forsake (half-open: the parent holds connections
whose other end is gone), slow (delay, loss and bandwidth, each way).
"""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from leafnodes.config import LOOPBACK
from leafnodes.ports import free_port, hold

CHUNK = 16 * 1024
IN_FLIGHT = 256
FLUSH = 1.0
#: After how long what was lost is sent again, over twice the delay of the link (seconds).
RESEND = 0.2

_UnderWay = asyncio.Queue[tuple[float, bytes]]


class _Closed(Exception):
    """One end has closed its connection, and all that it sent has been handed over."""


@dataclass(slots=True)
class Lane:
    """One direction of the link. `sent` counts the bytes that arrived at the other end; nothing does while it is
    not `passing`."""

    sent: int = 0
    passing: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _free_at: float = field(default=0.0, repr=False)

    async def pace(self, size: int, rate: float | None) -> None:
        """Waits for the lane's bandwidth (bytes/s), which all its connections share."""
        if rate is None:
            return
        clock = asyncio.get_running_loop().time
        self._free_at = max(self._free_at, clock()) + size / rate
        await asyncio.sleep(self._free_at - clock())


@dataclass(slots=True, eq=False)
class _Link:
    """One connection from the child, and the one that carries it on. `forsaken` when the child's end is gone, and the
    parent's has not been told."""

    near: asyncio.StreamWriter
    task: asyncio.Task[None] | None = None
    forsaken: bool = False


class LinkProxy:
    """Listens on `port` (0: a free one, kept while cut) and passes all on to the target.

    `delay` (seconds), `rate` (bytes/s, None: unlimited) and `loss` hold for each direction and may be set at any time.
    `loss` is the chance that a chunk of up to 16 KB is lost: it comes later, and all behind it waits, as over TCP. `up`
    counts what went to the target, `down` what came back, `accepted` the connections."""

    def __init__(
        self,
        target_host: str,
        target_port: int,
        *,
        host: str = LOOPBACK,
        port: int = 0,
        delay: float = 0.0,
        rate: float | None = None,
        loss: float = 0.0,
    ) -> None:
        self.host = host
        self.port = port or free_port(host)
        self.delay = delay
        self.rate = rate
        self.loss = loss
        self.up = Lane()
        self.down = Lane()
        self.accepted = 0
        #: Whom it dials; connections that are there stay where they are.
        self.target = (target_host, target_port)
        self._held: socket.socket | None = None
        self._listener: asyncio.Server | None = None
        self._links: set[_Link] = set()

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
        carrying = [link.task for link in self._links if link.task is not None]
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)
        if listener is not None:
            await listener.wait_closed()

    async def hang(self, *, up: bool = True, down: bool = True) -> None:
        """Keeps all connections, accepts new ones, and lets nothing through in these directions: no byte and no end."""
        for lane, stops in ((self.up, up), (self.down, down)):
            lane.passing.clear() if stops else lane.passing.set()
        await self._listen()

    async def heal(self) -> None:
        """Lets all through again; what a hang held back arrives now."""
        await self.hang(up=False, down=False)

    def forsake(self) -> None:
        """Resets the child's end of each connection. The parent's end stays, and hears nothing any more: it has to
        find out by itself. New connections are as before."""
        for link in self._links:
            link.forsaken = True
            link.near.transport.abort()

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
        link = _Link(writer)
        self._links.add(link)
        link.task = asyncio.create_task(self._carry(reader, link), name=f"link {self.port} #{self.accepted}")
        link.task.add_done_callback(lambda _: self._links.discard(link))

    async def _carry(self, reader: asyncio.StreamReader, link: _Link) -> None:
        """One connection, until either end closes it: what was sent before that still arrives."""
        ends = [link.near]
        try:
            await self.up.passing.wait()
            far_reader, far_writer = await asyncio.open_connection(*self.target, limit=CHUNK)
            ends.append(far_writer)
            async with asyncio.TaskGroup() as group:
                for source, sink, lane in ((reader, far_writer, self.up), (far_reader, link.near, self.down)):
                    under_way = _UnderWay(IN_FLIGHT)
                    group.create_task(self._take(source, under_way), name="take")
                    group.create_task(self._give(under_way, sink, lane, link), name="give")
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

    async def _give(self, under_way: _UnderWay, sink: asyncio.StreamWriter, lane: Lane, link: _Link) -> None:
        """Hands over each chunk `delay` after it came in; raises _Closed at the end of the stream."""
        clock = asyncio.get_running_loop().time
        while True:
            due, chunk = await under_way.get()
            await asyncio.sleep(due - clock())
            if random.random() < self.loss:
                await asyncio.sleep(RESEND + 2 * self.delay)
            await lane.pace(len(chunk), self.rate)
            await lane.passing.wait()
            if link.forsaken and (chunk or lane is self.up):
                # The parent is not told, and nobody is there to be told what it says.
                await (asyncio.sleep(0) if chunk else asyncio.Event().wait())
                continue
            if not chunk:
                raise _Closed
            await self._hand_over(chunk, sink, link)
            lane.sent += len(chunk)

    @staticmethod
    async def _hand_over(chunk: bytes, sink: asyncio.StreamWriter, link: _Link) -> None:
        try:
            sink.write(chunk)
            await sink.drain()
        except OSError:
            if not link.forsaken:
                raise

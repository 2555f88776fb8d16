"""nats-py's client with a shorter way in and out: the only place that knows its insides.

nats-py hands each message to a queue and a task of its subscription, parses its headers at once, and
wakes a task to write what was published. Here a message goes from the parser straight to its sink, and
the first command of a turn of the event loop is written at once, the rest of that turn together at its
end. Measured on one server, against nats-py itself: 0.7 times the latency of a request, 2 times the
requests with 128 in flight, 2.5 times the messages one way.

Connecting, the protocol's parser, pings, reconnects and the replay of subscriptions stay nats-py's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, cast

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error
from nats.protocol.command import unsub_cmd

Deliver = Callable[[bytes, bytes, bytes, bytes | None], None]
"""Takes (subject, reply, data, headers as they came). Must not raise."""

CLOSE_DEADLINE = 2.0


class _Sink:
    """Stands where nats-py would put the future of a single answer."""

    __slots__ = ("deliver",)

    def __init__(self, deliver: Deliver) -> None:
        self.deliver = deliver


class Connection(Client):
    """One connection. Errors are nats-py's."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._corked = False

    async def listen(self, subject: str, deliver: Deliver, queue: str = "") -> Subscription:
        """Subscribes; `deliver` is called from the reader, in the order in which messages come."""
        return await self.subscribe(subject, queue=queue, future=cast("asyncio.Future[Any]", _Sink(deliver)))

    async def mute(self, subscriptions: Iterable[Subscription], timeout: float) -> None:
        """Ends subscriptions; what the server sent before is delivered. `timeout` is in seconds."""
        ids = [subscription._id for subscription in subscriptions if subscription._id in self._subs]
        try:
            if self.is_connected and ids:
                self._pending += [unsub_cmd(id, 0) for id in ids]
                await self.barrier(timeout)
        finally:
            for id in ids:
                self._remove_sub(id)

    def send(self, subject: str, reply: str, head: bytes, payload: bytes) -> None:
        """Sends a message; `head` is encoded headers or nothing. Nothing is checked here."""
        if head:
            sizes = f"{len(head)} {len(head) + len(payload)}"
            command = b"".join((f"HPUB {subject} {reply} {sizes}\r\n".encode(), head, payload, b"\r\n"))
        else:
            command = b"".join((f"PUB {subject} {reply} {len(payload)}\r\n".encode(), payload, b"\r\n"))
        self._pending.append(command)
        self._pending_data_size += len(command)
        if not self._corked:
            self._corked = True
            self._loop.call_soon(self._uncork)
            self.push()

    def push(self) -> None:
        """Hands all that waits to the socket, in order."""
        if self._pending and self.is_connected and self._transport is not None:
            # uvloop has closed the socket before nats-py hears of it, and refuses; asyncio's own loop says nothing.
            # It is lost with its connection either way.
            with suppress(RuntimeError):
                self._transport.writelines(self._pending)
            self.forget()

    def _uncork(self) -> None:
        self._corked = False
        self.push()

    @property
    def unsent(self) -> int:
        """Bytes that the socket did not take yet."""
        writer = getattr(self._transport, "_io_writer", None)
        buffered: int = writer.transport.get_write_buffer_size() if writer is not None else 0
        return buffered + self._pending_data_size

    async def sent(self) -> None:
        """Returns when the socket has taken most of what was sent. OSError if it broke."""
        if self._transport is not None:
            await self._transport.drain()  # type: ignore[no-untyped-call]

    async def barrier(self, timeout: float) -> None:
        """Returns when the server has processed everything that was sent, subscriptions included.

        nats-py's own `flush` writes its PING before what still waits to be written, and forgets that it is
        cancelled where the answer comes in the same moment."""
        task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        self.push()
        await self.flush(cast(int, timeout))
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError

    def forget(self) -> None:
        """Drops what was not written: after an outage it would be sent although its sender gave up."""
        self._pending = []
        self._pending_data_size = 0

    async def end(self) -> None:
        """Closes; a server that has stopped reading cannot hold this up. Nothing to do before `connect`."""
        if self._flush_queue is None:
            return
        try:
            async with asyncio.timeout(CLOSE_DEADLINE):
                await self.close()
        except TimeoutError:
            writer = getattr(self._transport, "_io_writer", None)
            if writer is not None:
                writer.transport.abort()

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Before anything is said to the server: nobody in between talks this client out of TLS."""
        if initial_connection and self.options.get("tls") is not None and not info.get("tls_required"):
            raise Error("nats: the server at this address speaks no TLS")
        await super()._process_info(info, initial_connection)

    async def _process_connect_init(self) -> None:
        await super()._process_connect_init()
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None and writer.get_extra_info("ssl_object") is not None:
            # Else asyncio complains at the end of each connection that was plain when it began.
            writer.transport.get_protocol()._over_ssl = True

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        subscription = self._subs.get(sid)
        if subscription is not None:
            sink: Any = subscription._future
            sink.deliver(subject, reply, data, headers)

    async def _process_err(self, err_msg: str) -> None:
        """nats-py closes for good at most errors of a server: here all but refused permissions lead to a
        new connection."""
        error = Error(f"nats: {err_msg.strip(chr(39))}")
        if "permissions violation" in err_msg:
            await self._error_cb(error)
        else:
            await self._process_op_err(error)

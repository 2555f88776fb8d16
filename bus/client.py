"""The NATS client: the one owner of the connection, on which all of a process travels.

Nothing is kept for later: while there is no connection every send and request fails at once, for what
matters is in a log and is repaired from there. Handlers are plain functions, called in the order in
which messages come: they must be quick, and hand longer work on. One that has no room for a message
raises `asyncio.QueueFull` (a bounded queue's `put_nowait` does): the message is dropped, counted, and
told to `on_drop`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import structlog
from nats.aio.subscription import Subscription as NatsSubscription
from nats.errors import BadSubjectError, Error

from bus import wire
from bus.connection import Connection
from bus.credential import Credential
from bus.errors import BadRequest, OteError, from_body
from bus.inbox import Inbox, NoAnswer
from bus.message import Message, encode_headers
from bus.opening import open_connection

__all__ = ["Bus", "Handler", "Message", "NoAnswer", "Stats", "Subscription"]

Handler = Callable[[Message], object]

FLUSH_DEADLINE = 10.0
UNSENT_LIMIT = 64 * 1024 * 1024
"""Bytes that may wait for a server that reads too slowly."""
DROP_LOG_INTERVAL = 1.0

MAX_SUBJECT = 900
"""Characters: a server ends the connection at a line of more than 4096 bytes."""

_NOT_IN_SUBJECT = re.compile(r"[\s\0\ud800-\udfff]|^$")


@dataclass(slots=True)
class Stats:
    """What a connection has seen since it was made."""

    sent: int = 0
    received: int = 0
    reconnects: int = 0
    drops: int = 0
    handler_errors: int = 0


class Subscription:
    """Interest in a subject, until it is ended."""

    def __init__(self, bus: Bus, heard: NatsSubscription) -> None:
        self._bus = bus
        self._heard = heard

    @property
    def subject(self) -> str:
        """The pattern that was subscribed to."""
        return self._heard.subject

    async def end(self) -> None:
        """Returns when no message comes any more; what the server had sent is handled. Safe to repeat."""
        await self._bus.drain([self])


class Bus:
    """A connection to NATS, made by `connect`. As a context manager it drains and closes at the end."""

    def __init__(self, name: str, inbox: str, on_state: Callable[[bool], None] | None) -> None:
        self._connection = Connection()
        self._inbox = Inbox(inbox, self._send)
        self._loop = asyncio.get_running_loop()
        self._log = structlog.get_logger().bind(connection=name)
        self._subscriptions: set[Subscription] = set()
        self._on_state = on_state
        self._closed = False
        self._drops_logged = float("-inf")
        #: As whom the API of the tier is asked, where the server knows its users by credentials.
        self.user: str | None = None
        self.stats = Stats()
        #: Called with each message that a handler had no room for.
        self.on_drop: list[Callable[[Message], None]] = []

    @classmethod
    async def connect(
        cls,
        servers: str | Sequence[str],
        *,
        name: str,
        user: str | None = None,
        password: str | None = None,
        inbox: str | None = None,
        credential: Credential | None = None,
        patience: float | None = 5.0,
        on_state: Callable[[bool], None] | None = None,
    ) -> Bus:
        """A connection to one of the servers (`nats://host:port`), which comes back for ever if it is lost.

        `name` is shown by the server's monitoring; `inbox` is the subject below which answers come. With a
        `credential` its file is read again at each connection, and answers come below its own inbox.
        `patience` is for how many seconds the first connection is tried, None for ever. `on_state` is
        called with False when the connection is lost and True when it, and every subscription, is back.

        Raises:
            Refused: the server does not take these credentials.
            Unavailable: no server could be reached in time.
            BadRequest: an address is none.
        """
        bus = cls(name, inbox or (credential.inbox if credential is not None else "_INBOX"), on_state)
        bus.user = credential.user if credential is not None and not credential.free else None
        await open_connection(
            bus._connection,
            [servers] if isinstance(servers, str) else servers,
            patience,
            name=name,
            user=user,
            password=password,
            user_credentials=str(credential.file) if credential is not None else None,
            error_cb=bus._on_error,
            disconnected_cb=bus._on_disconnected,
            reconnected_cb=bus._on_reconnected,
        )
        try:
            await bus._connection.listen(f"{bus._inbox.prefix}*", bus._on_answer)
            await bus.flush()
        except BaseException:
            await bus.close()
            raise
        return bus

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            await self.drain()
        finally:
            await self.close()

    # State -----------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._connection.is_connected and not self._closed

    @property
    def max_payload(self) -> int:
        """Bytes that the server takes in one message, headers included."""
        return self._connection.max_payload

    async def _on_error(self, error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            self._log.error("the server refused a subject", error=str(error))
        else:
            self._log.debug("connection error", error=repr(error))

    async def _on_disconnected(self) -> None:
        if self._closed:
            return
        self._connection.forget()
        self._log.warning("connection lost")
        self._inbox.fail("the connection was lost before an answer came")
        self._tell_state(False)

    async def _on_reconnected(self) -> None:
        self.stats.reconnects += 1
        self._log.info("connection is back")
        self._tell_state(True)

    def _tell_state(self, connected: bool) -> None:
        if self._on_state is None:
            return
        try:
            self._on_state(connected)
        except Exception:
            self._log.exception("on_state failed")

    # Sending ---------------------------------------------------------------------------------

    def send(self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Sends a message, without waiting: it is lost if the connection is lost before it is written.

        Raises:
            BadRequest: the subject is none, or the message is larger than the server takes.
            Unavailable: there is no connection, or the server does not read what was sent.
        """
        self._send(subject, "", payload, headers)

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None) -> None:
        """As `send`, but waits while the server reads more slowly than we write."""
        self._send(subject, "", payload, headers)
        try:
            await self._connection.sent()
        except OSError:
            raise self._away() from None

    def _send(self, subject: str, reply: str, payload: bytes, headers: Mapping[str, str] | None) -> None:
        connection = self._connection
        if not self.connected:
            raise self._away()
        _check_subject(subject)
        head = encode_headers(headers)
        size = len(head) + len(payload)
        if size > connection.max_payload:
            limit = connection.max_payload
            raise BadRequest(f"a message of {size:,} bytes is more than the server takes ({limit:,}): {subject}")
        if connection.unsent > UNSENT_LIMIT:
            raise NoAnswer("the server does not read what is sent")
        self.stats.sent += 1
        connection.send(subject, reply, head, payload)

    def _away(self) -> NoAnswer:
        return NoAnswer("the bus is closed" if self._closed else "not connected to a NATS server")

    async def flush(self, timeout: float = FLUSH_DEADLINE) -> None:
        """Returns when the server has processed all that was sent, subscriptions included. Unavailable
        if it does not say so in time."""
        if not self.connected:
            raise self._away()
        try:
            await self._connection.barrier(timeout)
        except (Error, OSError) as error:
            raise NoAnswer(f"the server did not confirm what was sent: {error}") from None

    # Asking ----------------------------------------------------------------------------------

    async def request(
        self, subject: str, payload: bytes, *, timeout: float, headers: Mapping[str, str] | None = None
    ) -> Message:
        """The first answer to a message.

        Raises:
            NoAnswer: nobody listens there (at once), nobody answered within `timeout` seconds, or the
                connection is lost.
            BadRequest: as with `send`.
        """
        return await self._inbox.one(subject, payload, headers, timeout)

    async def request_many(
        self,
        subject: str,
        payload: bytes,
        *,
        timeout: float,
        stall: float,
        expect: int | None = None,
        until: Callable[[Message], bool] | None = None,
        end: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> list[Message]:
        """All answers to a message, as they came: until `timeout` seconds are over, none has followed the
        last for `stall` seconds, `expect` of them are there, `until` says of one that it was the last that is
        needed, or an empty message says that it was all; with `end`, that message is the last of them.

        Raises:
            NoAnswer: nobody listens there, or the connection is lost.
            BadRequest: as with `send`.
        """
        limits = {"timeout": timeout, "stall": stall}
        return await self._inbox.many(subject, payload, headers, **limits, expect=expect, until=until, end=end)

    async def call(
        self, subject: str, body: Mapping[str, Any], *, timeout: float, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """A service's answer to a JSON request. Raises the OteError that the service answered, BadMessage
        if it answered something else, and what `request` raises."""
        answer = await self.request(
            subject, wire.dump_body(body), timeout=timeout, headers={**wire.JSON_HEADERS, **(headers or {})}
        )
        if wire.SERVICE_ERROR in answer.headers:
            raise _service_error(answer)
        return wire.parse_body(answer.data, answer.headers.get(wire.CONTENT_TYPE))

    def _on_answer(self, subject: bytes, reply: bytes, data: bytes, head: bytes | None) -> None:
        self.stats.received += 1
        self._inbox.take(self._message(subject, reply, data, head))

    # Hearing ---------------------------------------------------------------------------------

    async def subscribe(self, subject: str, handler: Handler, *, queue: str | None = None) -> Subscription:
        """Calls handler, on the event loop, with each message that comes; what it returns is ignored, an
        error is logged and counted. The server knows of it after a `flush`.

        Raises:
            BadRequest: the subject or the queue's name is none.
            Unavailable: the bus is closed.
        """

        def deliver(subject: bytes, reply: bytes, data: bytes, head: bytes | None) -> None:
            self.stats.received += 1
            message = self._message(subject, reply, data, head)
            try:
                handler(message)
            except asyncio.QueueFull:
                self._dropped(message)
            except Exception:
                self.stats.handler_errors += 1
                self._log.exception("handler failed", subject=message.subject)

        _check_subject(subject)
        try:
            heard = await self._connection.listen(subject, deliver, queue or "")
        except BadSubjectError:
            raise BadRequest(f"{subject!a} is nothing to subscribe to", field="subject") from None
        except Error:
            raise self._away() from None
        subscription = Subscription(self, heard)
        self._subscriptions.add(subscription)
        return subscription

    def _message(self, subject: bytes, reply: bytes, data: bytes, head: bytes | None) -> Message:
        # Whoever may publish can choose any bytes for a subject: they must not stop the reader.
        return Message(self, subject.decode("utf-8", "replace"), reply.decode("utf-8", "replace"), data, head)

    def _dropped(self, message: Message) -> None:
        self.stats.drops += 1
        if self._loop.time() - self._drops_logged > DROP_LOG_INTERVAL:
            self._drops_logged = self._loop.time()
            self._log.warning("messages are dropped", subject=message.subject, drops=self.stats.drops)
        for listener in self.on_drop:
            try:
                listener(message)
            except Exception:
                self._log.exception("on_drop failed")

    # The end ---------------------------------------------------------------------------------

    async def drain(self, subscriptions: Iterable[Subscription] | None = None) -> None:
        """Ends these subscriptions, or all; returns when what the server had sent is handled. Answers to
        requests still come, and messages can still be sent."""
        ending = (
            self._subscriptions.intersection(subscriptions) if subscriptions is not None else set(self._subscriptions)
        )
        self._subscriptions -= ending
        try:
            await self._connection.mute([subscription._heard for subscription in ending], FLUSH_DEADLINE)
        except (Error, OSError) as error:
            self._log.warning("not drained", error=str(error))

    async def close(self) -> None:
        """Writes what was sent, and closes. Whoever still waits for an answer gets Unavailable."""
        if self._closed:
            return
        self._connection.push()
        self._closed = True
        self._inbox.fail("the bus is closed")
        await self._connection.end()


def _check_subject(subject: str) -> None:
    if len(subject) > MAX_SUBJECT or _NOT_IN_SUBJECT.search(subject):
        raise BadRequest(f"{subject[:100]!a} is no subject", field="subject")


def _service_error(answer: Message) -> OteError:
    try:
        body = wire.parse_body(answer.data, answer.headers.get(wire.CONTENT_TYPE))
    except OteError:
        body = {}
    if isinstance(body.get("error"), dict):
        return from_body(body)
    return OteError(answer.headers.get(wire.SERVICE_ERROR) or "the service failed")

"""A service of a tier's API: endpoints that `nats micro` can list and `nats req` can ask (ADR-32).

nats-py's own layer answers one request after the other, so that one that waits delays all. Here each
is a task of its own; an endpoint has room for so many at once, and as many again may wait. Large requests are
bounded by their bytes as well: who asks for more than a service has room for is told so, and asks again. Where an
endpoint is `fair`, those who ask take turns (`bus.turns`).

Requests are JSON or msgpack and answered in kind. An error is answered as `{"error": {"code", "message",
"field"?, "hint"?}}` with the headers `Nats-Service-Error` and `Nats-Service-Error-Code`.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

import structlog
from pydantic import BaseModel

from bus import subjects, turns, wire
from bus.client import Bus, Message, Subscription
from bus.contracts import Answer, parse
from bus.errors import BadRequest, OteError, Refused, Unavailable
from bus.event import new_id, now
from bus.turns import Turn, Turns

R = TypeVar("R", bound=BaseModel)
Body = Mapping[str, Any] | Answer

DEFAULT_LIMIT = 256
HELD_BYTES = 64_000_000
"""Of the requests that a service is answering, or that wait."""
STOP_GRACE = 5.0
"""Seconds that requests have to end when their service stops."""
MAX_ERROR_HEADER = 500
AT_ONCE = 8
"""Requests to fair endpoints that a service works on: enough to share commits, few enough to be done soon."""

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_VERSION = re.compile(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?")
_RESPONSE = "io.nats.micro.v1.{}_response"

logger = structlog.get_logger()


@dataclass(slots=True)
class Endpoint(Generic[R]):
    """One question that a service answers, and how often it did. Times are nanoseconds."""

    name: str
    subject: str
    request: type[R]
    handler: Callable[[R], Awaitable[Body]]
    metadata: Mapping[str, str]
    queue: str
    limit: int
    room: asyncio.Semaphore
    fair: bool = False
    active: int = 0
    requests: int = 0
    errors: int = 0
    last_error: str = ""
    time: int = 0

    def info(self) -> dict[str, Any]:
        """As in an INFO response."""
        about = {"name": self.name, "subject": self.subject, "metadata": dict(self.metadata)}
        return {**about, "queue_group": self.queue}

    def stats(self) -> dict[str, Any]:
        """As in a STATS response."""
        return {
            "name": self.name,
            "subject": self.subject,
            "queue_group": self.queue,
            "num_requests": self.requests,
            "num_errors": self.errors,
            "last_error": self.last_error,
            "processing_time": self.time,
            "average_processing_time": self.time // self.requests if self.requests else 0,
        }


class Service:
    """Endpoints under one name; add them, then `start`. As a context manager it starts and stops."""

    def __init__(
        self, bus: Bus, name: str, *, version: str, description: str = "", metadata: Mapping[str, str] | None = None
    ) -> None:
        self.id = new_id()
        self._bus = bus
        about = {"name": _checked(name), "id": self.id, "version": semantic(version)}
        self._about = {**about, "metadata": dict(metadata or {})}
        self._description = description
        self._started = now()
        self._endpoints: list[Endpoint[Any]] = []
        self._subscriptions: list[Subscription] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._held = 0
        self._turns = Turns(AT_ONCE)

    def endpoint(
        self,
        name: str,
        subject: str,
        request: type[R],
        handler: Callable[[R], Awaitable[Body]],
        *,
        metadata: Mapping[str, str] | None = None,
        queue: str | None = None,
        limit: int = DEFAULT_LIMIT,
        fair: bool = False,
    ) -> None:
        """Answers requests on `subject`: parsed to `request`, handled concurrently, at most `limit` at once. `fair`:
        few at once, and those who ask take turns; a handler that only waits says so (`turns.rest`).

        Without `queue` every service that listens answers: right for what only one process does."""
        room = asyncio.Semaphore(limit)
        self._endpoints.append(
            Endpoint(_checked(name), subject, request, handler, metadata or {}, queue or "", limit, room, fair),
        )

    async def start(self) -> None:
        """Returns when the server knows of all endpoints."""
        self._started = now()
        for endpoint in self._endpoints:
            handler = _taker(self._take, endpoint)
            for subject in filter(None, (endpoint.subject, subjects.by_users(endpoint.subject))):
                self._subscriptions.append(await self._bus.subscribe(subject, handler, queue=endpoint.queue))
        for verb, answer in (("PING", self.ping), ("INFO", self.info), ("STATS", self.stats)):
            for subject in (
                f"$SRV.{verb}",
                f"$SRV.{verb}.{self._about['name']}",
                f"$SRV.{verb}.{self._about['name']}.{self.id}",
            ):
                self._subscriptions.append(await self._bus.subscribe(subject, _monitor(answer)))
        await self._bus.flush()

    async def stop(self, grace: float = STOP_GRACE) -> None:
        """Takes no more requests, and lets those it has come to an end for `grace` seconds."""
        subscriptions, self._subscriptions = self._subscriptions, []
        await self._bus.drain(subscriptions)
        self._turns.open()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    # Monitoring ------------------------------------------------------------------------------

    def ping(self) -> dict[str, Any]:
        """The answer to PING."""
        return {"type": _RESPONSE.format("ping"), **self._about}

    def info(self) -> dict[str, Any]:
        """The answer to INFO."""
        endpoints = [endpoint.info() for endpoint in self._endpoints]
        return {
            **self._about,
            "type": _RESPONSE.format("info"),
            "description": self._description,
            "endpoints": endpoints,
        }

    def stats(self) -> dict[str, Any]:
        """The answer to STATS."""
        endpoints = [endpoint.stats() for endpoint in self._endpoints]
        return {**self._about, "type": _RESPONSE.format("stats"), "started": self._started, "endpoints": endpoints}

    # Requests --------------------------------------------------------------------------------

    def _take(self, endpoint: Endpoint[Any], message: Message) -> None:
        size = len(message.data)
        too_large = self._held > 0 and self._held + size > HELD_BYTES
        if too_large or endpoint.active >= 2 * endpoint.limit:
            endpoint.requests += 1
            what = f"{self._held:,} bytes of requests" if too_large else f"{endpoint.active} requests"
            busy = Unavailable(f"{endpoint.name} is busy with {what}", hint="ask again later")
            _answer_error(endpoint, message, busy, wire.JSON)
            return
        endpoint.active += 1
        self._held += size
        if endpoint.fair:
            self._turns.take(turns.asker_of(message.reply), lambda turn: self._begin(endpoint, message, turn))
        else:
            self._begin(endpoint, message)

    def _begin(self, endpoint: Endpoint[Any], message: Message, turn: Turn | None = None) -> None:
        serving = self._serve(endpoint, message, turn)
        task = asyncio.create_task(serving, name=f"{self._about['name']} {endpoint.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if turn is not None:
            # Also of one that was cancelled before it began.
            task.add_done_callback(lambda _: turn.over())

    async def _serve(self, endpoint: Endpoint[Any], message: Message, turn: Turn | None) -> None:
        content_type = wire.JSON
        turns.enter(turn)
        try:
            async with endpoint.room:
                begin = time.perf_counter_ns()
                try:
                    content_type = wire.content_of(message.data, message.headers.get(wire.CONTENT_TYPE))
                    body = _said_by(
                        subjects.user_of(message.subject), wire.parse_body(message.data, content_type), endpoint
                    )
                    answer = await endpoint.handler(parse(endpoint.request, body))
                    _answer(message, answer, content_type)
                finally:
                    endpoint.requests += 1
                    endpoint.time += time.perf_counter_ns() - begin
        except asyncio.CancelledError:
            _answer_error(endpoint, message, Unavailable(f"{endpoint.name} is stopping"), content_type)
            raise
        except OteError as error:
            _answer_error(endpoint, message, error, content_type)
        except Exception:
            reference = new_id()
            logger.exception("request failed", endpoint=endpoint.name, reference=reference)
            internal = OteError("internal error", hint=f"the tier's log has it under {reference}")
            _answer_error(endpoint, message, internal, content_type)
        finally:
            endpoint.active -= 1
            self._held -= len(message.data)


def semantic(version: str) -> str:
    """A Python version as the semantic version that ADR-32 wants: `0.2.dev1` is `0.2.0-dev1`."""
    found = _VERSION.match(version)
    if not found:
        raise ValueError(f"{version!r} is no version")
    core = ".".join(str(int(part or 0)) for part in found.group(1, 2, 3))
    rest = re.sub(r"[^0-9A-Za-z]+", "-", version[found.end() :]).strip("-")
    return f"{core}+{rest}" if rest.isdigit() else f"{core}-{rest}" if rest else core


def _said_by(user: str | None, body: dict[str, Any], endpoint: Endpoint[Any]) -> dict[str, Any]:
    """What a user of the tier's server asks is asked in that user's name, and in no other."""
    if user is None or "actor" not in endpoint.request.model_fields:
        return body
    if body.get("actor", user) != user:
        logger.warning(
            "a user asked in another name", user=user, actor=str(body["actor"])[:100], endpoint=endpoint.name
        )
        raise Refused(f"{user} cannot ask in the name of another", field="actor", hint=f"leave it out: it is {user}")
    return {**body, "actor": user}


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a service or endpoint: letters, digits, '-' and '_'")
    return name


def _taker(take: Callable[[Endpoint[Any], Message], None], endpoint: Endpoint[Any]) -> Callable[[Message], None]:
    return lambda message: take(endpoint, message)


def _monitor(answer: Callable[[], dict[str, Any]]) -> Callable[[Message], None]:
    return lambda message: message.respond(json.dumps(answer()).encode())


_HEADERS = {wire.JSON: wire.JSON_HEADERS, wire.MSGPACK: wire.MSGPACK_HEADERS}


def _answer(message: Message, answer: Body, content_type: str) -> None:
    body = answer.dump() if isinstance(answer, Answer) else answer
    try:
        message.respond(wire.dump_body(body, content_type), _HEADERS[content_type])
    except BadRequest as error:
        raise BadRequest(error.message, hint="ask for less: a smaller limit, or fewer fields") from None


def _answer_error(endpoint: Endpoint[Any], message: Message, error: OteError, content_type: str) -> None:
    endpoint.errors += 1
    endpoint.last_error = f"{error.status}:{error.message}"
    line = " ".join(error.message.split())[:MAX_ERROR_HEADER]
    headers = {wire.SERVICE_ERROR: line or error.code, wire.SERVICE_ERROR_CODE: str(error.status)}
    try:
        message.respond(wire.dump_body(error.body(), content_type), {**_HEADERS[content_type], **headers})
    except OteError as lost:
        logger.warning("an error was not answered", endpoint=endpoint.name, error=error.message, why=str(lost))

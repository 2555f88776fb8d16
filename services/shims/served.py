"""Puts a shim of this process on the bus, where it is reached and checked as any other shim is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

import structlog

from bus import subjects, wire
from bus.client import Bus, Message, Subscription
from bus.errors import BadRequest, OteError
from bus.event import Event, parse_time
from bus.shim_messages import DescribeAnswer, WatchAnswer
from services.shims.base import Answer, Request, TransactionalShim
from services.shims.encoding import dump_answer, load_request
from store.api import Log, Tx

logger = structlog.get_logger()

ROOM = 256
"""How many requests may be at work; more are not answered, as by a shim that is stuck."""

Run = Callable[[Request], Awaitable[Answer]]
"""Carries out one request."""


def in_log(shim: TransactionalShim, log: Log[Event]) -> Run:
    """Carries requests out in transactions of their own."""

    async def run(request: Request) -> Answer:
        def op(tx: Tx[Event]) -> Answer:
            answer, drafts = shim.execute_in(tx, request)
            for draft in drafts:
                tx.append(draft)
            return answer

        return await log.write(op)

    return run


class ServedShim:
    """Answers `describe` and `execute` for the shim of this kind, and `watch`, where it has objects. As a context
    manager it starts and stops.

    A request whose deadline has passed is not begun. Every request is answered, also one that is none.
    """

    def __init__(
        self,
        bus: Bus,
        kind: str,
        describe: Callable[[], Awaitable[DescribeAnswer]],
        run: Run,
        watch: Callable[[], AsyncIterator[WatchAnswer]] | None = None,
    ) -> None:
        self._bus = bus
        self._kind = kind
        self._describe = describe
        self._run = run
        self._watch = watch
        self._subscriptions: list[Subscription] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Returns when the server knows that the shim is there."""
        described, executed = partial(self._answer, self._described), partial(self._answer, self._executed)
        takers = {"describe": described, "execute": executed, None: executed}
        if self._watch is not None:
            takers["watch"] = partial(self._watched, self._watch)
        for verb, answer in takers.items():
            subject = subjects.shim(self._kind, verb)
            self._subscriptions.append(await self._bus.subscribe(subject, self._taker(answer), queue="shim"))
        await self._bus.flush()

    async def stop(self) -> None:
        """Takes no more requests, and gives up those that it has."""
        for subscription in self._subscriptions:
            await subscription.end()
        self._subscriptions.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def _taker(self, answer: Callable[[Message], Coroutine[Any, Any, None]]) -> Callable[[Message], None]:
        def take(message: Message) -> None:
            if len(self._tasks) >= ROOM:
                raise asyncio.QueueFull
            task = asyncio.create_task(answer(message), name=f"shim {self._kind}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return take

    async def _answer(self, handler: Callable[[bytes], Awaitable[bytes]], message: Message) -> None:
        try:
            data = await handler(message.data)
        except OteError as error:
            data = dump_answer(Answer.refused(error))
        except Exception as error:
            logger.exception("shim failed", kind=self._kind)
            data = dump_answer(Answer.failed("shim-error", f"the shim {self._kind} failed: {error}"))
        try:
            self._respond(message, data)
        except OteError as error:
            logger.warning("a shim's answer was not sent", kind=self._kind, error=error.message)

    def _respond(self, message: Message, data: bytes) -> None:
        try:
            message.respond(data, wire.JSON_HEADERS)
        except BadRequest as error:
            too_large = Answer.failed("too-large", f"it was done, and the answer does not fit: {error.message}")
            message.respond(dump_answer(too_large), wire.JSON_HEADERS)

    async def _watched(self, watch: Callable[[], AsyncIterator[WatchAnswer]], message: Message) -> None:
        """A message for each object, and an empty one. Where not all could be told, that one does not come."""
        try:
            async for told in watch():
                message.respond(wire.dump_body(told.dump()), wire.JSON_HEADERS)
            message.respond(b"")
        except Exception as error:
            logger.warning("not all objects were told", kind=self._kind, error=str(error))

    async def _described(self, data: bytes) -> bytes:
        described: dict[str, Any] = (await self._describe()).dump()
        return wire.dump_body(described)

    async def _executed(self, data: bytes) -> bytes:
        request = load_request(data)
        if request.deadline is not None and parse_time(request.deadline) <= datetime.now(UTC):
            return dump_answer(Answer.failed("expired", f"it was not begun: its deadline was {request.deadline}"))
        return dump_answer(await self._run(request))

"""Live queries to the shims of this cluster: what they say now, without a command and without a record.

Only a verb that its shim declares to change nothing may be asked. It does not wait for the commands that are
at work, and none waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import structlog

from bus import subjects
from bus.asks import Query, Said, unpack
from bus.client import Message, Subscription
from bus.errors import OteError, Unavailable
from bus.event import Event, format_time, new_id
from bus.messages import TargetError
from services.shims import finals
from services.shims.base import READ_ONLY, Answer, Request, ShimError, read_only
from services.shims.job import AnyShim, execute_in, transactional
from services.shims.remote import RemoteShim
from services.tier.runtime import Runtime
from store.api import Reader

logger = structlog.get_logger()

#: Queries that may be at work.
ROOM = 256
#: Of the time that the asker waits, how much the shim has: what it does not say in time is told, too.
SHARE = 0.9


class Queries:
    """Answers `ote.local.query`, on which the controller of this tier passes on what this cluster is asked."""

    def __init__(self, runtime: Runtime, shims: Mapping[str, AnyShim]) -> None:
        self._runtime = runtime
        self._shims = shims
        self._working = 0
        self._heard: Subscription | None = None

    async def start(self) -> None:
        """Listens."""
        self._heard = await self._runtime.bus.subscribe(subjects.query(), self._on_query)

    async def stop(self) -> None:
        """Hears no more."""
        if self._heard is not None:
            await self._heard.end()

    def _on_query(self, message: Message) -> None:
        if self._working >= ROOM:
            raise asyncio.QueueFull
        self._working += 1
        self._runtime.spawn(self._answer(message), "a live query")

    async def _answer(self, message: Message) -> None:
        try:
            answer = await self._ask(unpack(Query, message.data))
        except OteError as error:
            answer = Answer.refused(error)
        except Exception as error:
            logger.exception("a live query failed")
            answer = Answer.failed("shim-error", f"the shim failed: {error}")
        finally:
            self._working -= 1
        message.respond(self._said(answer))

    async def _ask(self, query: Query) -> Answer:
        kind = query.shim or next(iter(self._shims), None)
        shim = self._shims.get(kind) if kind is not None else None
        if shim is None:
            return Answer.failed("no-shim", str(finals.no_shim(kind, self._shims)["error"]["message"]))
        seconds = query.timeout * SHARE
        if isinstance(shim, RemoteShim):
            await shim.learn(query.verb)
        if not read_only(shim, query.verb):
            known = sorted(verb for verb in shim.verbs if read_only(shim, verb)) or sorted(READ_ONLY)
            return Answer.failed(
                "no-query",
                f"the shim {shim.kind} does not say that {query.verb!r} changes nothing: what may be asked live is "
                f"{', '.join(known)}",
            )
        deadline = format_time(datetime.now(UTC) + timedelta(seconds=seconds))
        request = Request(new_id(), 1, query.verb, query.args, deadline)
        if transactional(shim):
            return await self._runtime.log.read(lambda reader: _read(shim, reader, request))
        try:
            async with asyncio.timeout(seconds):
                return await shim.execute(request)  # type: ignore[union-attr]
        except (TimeoutError, Unavailable) as error:
            why = str(error) or f"no answer within {seconds:g} s"
            return Answer.failed("unavailable", f"the shim {shim.kind} does not answer: {why}")

    def _said(self, answer: Answer) -> bytes:
        if answer.ok and len(packed := self._pack(True, answer.result)) <= finals.RESULT_LIMIT:
            return packed
        if answer.ok:
            message = f"the result takes {len(packed):,} bytes, the limit is {finals.RESULT_LIMIT:,}: ask for less"
            answer = Answer.failed("too-large", message)
        error = answer.error or ShimError("failed", "no reason given")
        return self._pack(False, error=TargetError(code=finals.short(error.code), message=finals.short(error.message)))

    def _pack(self, ok: bool, result: object = None, error: TargetError | None = None) -> bytes:
        return Said(path=self._runtime.path, ok=ok, result=result, error=error).pack()


def _read(shim: AnyShim, reader: Reader[Event], request: Request) -> Answer:
    answer, changes = execute_in(shim, reader, request)
    if changes:
        return Answer.failed("shim-error", f"the shim {shim.kind} would change something: nothing was")
    return answer

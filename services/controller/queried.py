"""Being asked: which live queries are meant for this cluster, and the way to its shims and back."""

from __future__ import annotations

import asyncio

import structlog

from bus import subjects
from bus.asks import Query, Said, unpack
from bus.client import Message
from bus.errors import OteError, Unavailable
from bus.messages import TargetError
from bus.paths import is_under
from services.controller.registry import Registry
from services.controller.selector import Candidate, fits, parse
from services.tier.outbox import Standing
from services.tier.runtime import Runtime

logger = structlog.get_logger()

#: Queries that may be at work; who asks more than this cluster can take is not answered.
ROOM = 256


class Queried:
    """Hears `ote.ask.<path>`, `ote.askunder.<scope>` and `ote.asktag.<tag>.<scope>`."""

    def __init__(self, runtime: Runtime, registry: Registry) -> None:
        self._runtime = runtime
        self._me = runtime.path
        self._registry = registry
        self._working = 0

    def on_query(self, message: Message) -> None:
        """A query that may be meant for this cluster."""
        if not message.data or self._working >= ROOM:
            if message.data:
                raise asyncio.QueueFull
            return
        try:
            query = unpack(Query, message.data)
            meant = self._means_me(query)
        except OteError as error:
            logger.warning("not a live query", subject=message.subject, error=error.message)
            return
        if meant:
            self._working += 1
            self._runtime.spawn(self._answer(message, query), "answer a live query")

    def _means_me(self, query: Query) -> bool:
        if not (is_under(self._me, query.asker) and query.after < self._me <= query.last):
            return False
        # While another may be the true owner of this path, it is not for this one to speak for it.
        if query.asker != self._me and self._runtime.outbox.standing is not Standing.ADMITTED:
            return False
        row = self._registry.snapshot.rows.get(self._me)
        able = row is not None and self._registry.snapshot.shim(self._me, query.shim)
        return able and row is not None and fits(parse(query.to), Candidate(self._me, row.tags))

    async def _answer(self, message: Message, query: Query) -> None:
        try:
            answer = await self._runtime.bus.request(subjects.query(), message.data, timeout=query.timeout)
            message.respond(answer.data)
        except Unavailable as error:
            if getattr(error, "no_responders", False):
                nobody = TargetError(code="unavailable", message="no shims run at this cluster")
                message.respond(Said(path=self._me, ok=False, error=nobody).pack())
        finally:
            self._working -= 1

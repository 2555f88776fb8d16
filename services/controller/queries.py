"""Live queries: what do clusters say now? Asked over the bus, answered by who is up, recorded by nobody.

A query goes to many in one message; each cluster decides for itself whether it is meant. Answers are waited
for until all have come from the clusters that are held to be online, or the time is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bus import wire
from bus.asks import Query, Said, unpack
from bus.client import Message
from bus.errors import BadMessage, Refused, Unavailable
from bus.messages import AskRequest
from bus.paths import common_scope
from bus.subjects import ask, ask_tag, ask_under
from services.controller.commands import Commands
from services.controller.registry import Registry
from services.controller.selector import located, parse
from services.tier.runtime import Runtime

#: Where none of the clusters is held to be online, one that is all the same has so long to say so (seconds).
GRACE = 1.0
#: Of a message, what is left to the answers of clusters (the rest is the frame around them).
ROOM = 0.9
#: The code of an answer to a verb that is no query.
NO_QUERY = "no-query"


class Queries:
    """Asks the clusters at and below this tier."""

    def __init__(self, runtime: Runtime, registry: Registry, commands: Commands) -> None:
        self._runtime = runtime
        self._registry = registry
        self._commands = commands

    async def ask(self, request: AskRequest) -> dict[str, Any]:
        """`{"to", "do", "count", "answers", "missing", "next"?}`. Refused if the verb is no query."""
        chosen = self._commands.addressees(request.to, request.do.shim)
        page = [path for path in chosen if path > (request.after or "")][: request.limit]
        said = await self._gather(request, page) if page else {}
        if said and all(one.error is not None and one.error.code == NO_QUERY for one in said.values()):
            error = next(iter(said.values())).error
            assert error is not None
            raise Refused(error.message, field="do.verb", hint="what changes something is a command: `ote run`")
        answers, missing, last = self._listed(page, said, request.timeout)
        out: dict[str, Any] = {"to": request.to, "do": request.do.dump(), "count": len(chosen)}
        out |= {"answers": answers, "missing": missing}
        if last and last != chosen[-1]:
            out["next"] = last
        return out

    async def _gather(self, request: AskRequest, page: Sequence[str]) -> Mapping[str, Said]:
        snapshot = self._registry.snapshot
        awaited = {path for path in page if snapshot.state(path)[0] != "offline"}
        said: dict[str, Said] = {}

        def all_there(message: Message) -> bool:
            try:
                one = unpack(Said, message.data)
            except BadMessage:
                return False
            if one.path in meant:
                said.setdefault(one.path, one)
            return bool(awaited) and said.keys() >= awaited

        meant = frozenset(page)
        query = Query(
            asker=self._runtime.path,
            to=str(located(parse(request.to), snapshot.index)),
            after=request.after or "",
            last=page[-1],
            shim=request.do.shim,
            verb=request.do.verb,
            args=request.do.args,
            timeout=request.timeout,
        )
        patience = request.timeout if awaited else min(request.timeout, GRACE)
        try:
            await self._runtime.bus.request_many(
                self._subject(page), query.pack(), timeout=patience, stall=patience, until=all_there
            )
        except Unavailable as error:
            if not getattr(error, "no_responders", False):
                raise
        return said

    def _subject(self, page: Sequence[str]) -> str:
        """The narrowest that reaches them all."""
        if len(page) == 1:
            return ask(page[0])
        scope, tag = common_scope(page), self._registry.common_tag(page)
        return ask_tag(tag, scope) if tag else ask_under(scope)

    def _listed(
        self, page: Sequence[str], said: Mapping[str, Said], timeout: float
    ) -> tuple[dict[str, Any], dict[str, str], str]:
        """What goes into one message, and the last path of it: where answers are large, the page is cut, and who
        asks for the next one asks the others again."""
        room = self._runtime.bus.max_payload * ROOM
        answers: dict[str, Any] = {}
        missing: dict[str, str] = {}
        last = ""
        for path in page:
            if (one := said.get(path)) is not None:
                told = {name: value for name, value in one.model_dump(exclude={"path"}).items() if value is not None}
                room -= len(wire.dump_body({path: told}))
                if room < 0 and last:
                    break
                answers[path] = told
            else:
                missing[path] = self._why(path, timeout)
                room -= len(path) + len(missing[path]) + 8
            last = path
        return answers, missing, last

    def _why(self, path: str, timeout: float) -> str:
        state, since, reason = self._registry.snapshot.state(path)
        if state != "offline":
            return f"no answer within {timeout:g} s"
        return f"offline since {since}" + (f", {reason}" if reason else "")

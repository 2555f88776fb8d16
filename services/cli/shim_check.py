"""Does a running shim keep the shim wire (`docs/shims.md`)? Asks it as the host of the shims would, and a bit worse.

Nothing here changes the cluster: the verb that is tried does not exist, unless one is named.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from bus import subjects
from bus.contracts import parse
from bus.errors import BadRequest, Unavailable
from bus.event import format_time, new_id
from bus.messages import DescribeAnswer, ExecuteAnswer, ExecuteRequest
from services.cli.render import brief

Level = Literal["ok", "note", "fail"]
#: Sends bytes to a subject; the answer's bytes. Unavailable if nobody answers in time.
Ask = Callable[[str, bytes], Awaitable[bytes]]

M = TypeVar("M", bound=BaseModel)

NO_VERB = "no-such-verb"
AT_ONCE = 8
LARGE = 200_000
DEADLINE = timedelta(seconds=30)


@dataclass(frozen=True)
class Finding:
    """What one check found; a `note` is no failure, but worth a look."""

    check: str
    level: Level
    said: str


class Broken(Exception):
    """The shim broke a promise; the text says which."""


@dataclass
class ShimCheck:
    """One run of all checks against the shim of this kind. With `verb` that verb is executed for real with `args`,
    twice under one id if the shim says that it is idempotent."""

    kind: str
    ask: Ask
    verb: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    subject: str = ""
    described: DescribeAnswer | None = None

    async def run(self) -> list[Finding]:
        """All findings in order; the run ends at the first check without which the others make no sense."""
        if await self._check("answers", self._answers):
            await self._check("describe", self._describe)
            await self._check("unknown verb", self._unknown_verb)
            await self._check("several at once", self._several)
            await self._check("large arguments", self._large)
            await self._check("not JSON", self._not_json)
            if self.verb:
                await self._check(f"verb {self.verb}", self._real)
        return self.findings

    async def _check(self, name: str, check: Callable[[], Awaitable[tuple[Level, str]]]) -> bool:
        try:
            level, said = await check()
        except Broken as broken:
            level, said = "fail", str(broken)
        except Unavailable as error:
            level, said = "fail", f"no answer: {error.message}"
        self.findings.append(Finding(name, level, said))
        return level != "fail"

    async def _answers(self) -> tuple[Level, str]:
        tried = []
        for subject in (subjects.shim(self.kind, "execute"), subjects.shim(self.kind)):
            try:
                await self._execute(NO_VERB, {}, subject=subject)
            except Unavailable as error:
                tried.append(f"{subject}: {error.message}")
            else:
                self.subject = subject
                return "ok", f"on {subject}"
        raise Broken("; ".join(tried))

    async def _describe(self) -> tuple[Level, str]:
        subject = subjects.shim(self.kind, "describe")
        try:
            data = await self.ask(subject, b"{}")
        except Unavailable:
            return "note", "not answered; allowed, but then every verb counts as one that must not be repeated"
        described = self._read(DescribeAnswer, data, "describe")
        if described.kind != self.kind:
            raise Broken(f"kind is {described.kind!r}, not {self.kind!r}")
        self.described = described
        return "ok", f"verbs: {', '.join(sorted(described.verbs)) or 'none'}"

    async def _unknown_verb(self) -> tuple[Level, str]:
        answer = await self._execute(NO_VERB, {})
        if not answer.ok:
            return "ok", f"refused: {_why(answer)}"
        if self.described is None:
            return "note", "accepted; a shim with verbs of its own should refuse what it does not know"
        raise Broken(f"the verb {NO_VERB!r} that describe does not list was answered with ok: true")

    async def _several(self) -> tuple[Level, str]:
        await asyncio.gather(*(self._execute(NO_VERB, {"number": number}) for number in range(AT_ONCE)))
        return "ok", f"{AT_ONCE} requests were answered"

    async def _large(self) -> tuple[Level, str]:
        await self._execute(NO_VERB, {"text": "x" * LARGE, "deep": {"list": [None, True, 1.5, "ä☃"]}})
        return "ok", f"{LARGE // 1000} KB were answered"

    async def _not_json(self) -> tuple[Level, str]:
        try:
            self._read(
                ExecuteAnswer, await self.ask(self.subject, b"\xff{ not JSON"), "the answer to bytes that are no JSON"
            )
            said = "answered"
        except Unavailable:
            said = "not answered"
        try:
            await self._execute(NO_VERB, {})
        except Unavailable:
            raise Broken("after bytes that are no JSON it answers no more") from None
        return "ok", f"{said}, and alive after it"

    async def _real(self) -> tuple[Level, str]:
        verb, id = str(self.verb), new_id()
        first = await self._execute(verb, self.args, id=id)
        if not first.ok:
            raise Broken(_why(first))
        known = self.described.verbs.get(verb) if self.described else None
        if known is None or not known.idempotent:
            return "ok", f"{brief(first.result) or 'done'}; executed once, it does not say that it is idempotent"
        again = await self._execute(verb, self.args, id=id, attempt=2)
        if not again.ok:
            raise Broken(f"the second attempt under the same id failed: {_why(again)}")
        return "ok", f"{brief(again.result) or 'done'}; executed twice under one id"

    async def _execute(
        self, verb: str, args: Mapping[str, Any], *, subject: str = "", id: str = "", attempt: int = 1
    ) -> ExecuteAnswer:
        request = ExecuteRequest(
            id=id or new_id(),
            attempt=attempt,
            verb=verb,
            args=dict(args),
            deadline=format_time(datetime.now(UTC) + DEADLINE),
        )
        data = await self.ask(subject or self.subject, request.model_dump_json().encode())
        answer = self._read(ExecuteAnswer, data, "execute")
        if not answer.ok and answer.error is None:
            raise Broken("execute answered ok: false without an error: a person needs to know why")
        return answer

    def _read(self, model: type[M], data: bytes, what: str) -> M:
        try:
            body = json.loads(data)
        except ValueError:
            raise Broken(f"{what}: no JSON: {brief(data[:80].decode(errors='replace'))}") from None
        if not isinstance(body, dict):
            raise Broken(f"{what}: a JSON object was expected: {brief(body)}")
        try:
            return parse(model, body)
        except BadRequest as error:
            raise Broken(f"{what}: {error.message}: {brief(body)}") from None


def _why(answer: ExecuteAnswer) -> str:
    error = answer.error
    return brief(error if isinstance(error, str) or error is None else f"{error.code}: {error.message}", 120)

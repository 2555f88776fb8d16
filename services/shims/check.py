"""Does a running shim keep the wire of `docs/shims.md`? Asks it as the host of the shims does, and worse.

Nothing is changed in the cluster: what is executed is a verb that does not exist, and one that only
reads, or the one that the caller names.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bus import subjects, wire
from bus.client import Bus
from bus.errors import BadMessage, Unavailable
from bus.event import format_time, new_id
from bus.shim_messages import DescribeAnswer
from services.shims.base import IDEMPOTENT, Answer, Request
from services.shims.encoding import dump_request, load_answer, load_description

TIMEOUT = 5.0
AT_ONCE = 8
LARGE = 200_000
READING = ("list", "get")
"""Verbs that change nothing wherever they exist, and do with no arguments or say what they lack."""
GARBAGE = (b'{"verb": ', b"[]", b"\xff\xfe", b"{}")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. A `note` is `ok`: something optional that is not there."""

    name: str
    ok: bool
    message: str
    note: bool = False


class _Broken(Exception):
    """The shim breaks a promise; the text says which."""


class _Noted(Exception):
    """Something optional is not there."""


async def check(
    bus: Bus, kind: str, *, verb: str | None = None, args: Mapping[str, Any] | None = None, timeout: float = TIMEOUT
) -> list[Finding]:
    """All findings about the shim of this kind, in order. It keeps the wire if all of them are `ok`.

    `verb` is executed with `args`, and repeated under one id if the shim says that it may be; without it
    a verb that only reads is, if the shim describes one. Each answer may take `timeout` seconds.
    """
    run = _Check(bus, kind, verb, dict(args or {}), timeout)
    if await run.step("answers", run.answers):
        await run.step("describe", run.describe)
        await run.step("unknown verb", run.unknown_verb)
        await run.step("bytes that are no request", run.garbage)
        await run.step("several at once", run.several)
        await run.step("execute", run.execute)
        await run.step("the same again", run.again)
        await run.step("deadline", run.deadline)
        await run.step("large arguments", run.large)
    return run.findings


class _Check:
    def __init__(self, bus: Bus, kind: str, verb: str | None, args: dict[str, Any], timeout: float) -> None:
        self.findings: list[Finding] = []
        self._bus = bus
        self._kind = kind
        self._verb = verb
        self._args = args
        self._timeout = timeout
        self._subject = subjects.shim(kind, "execute")
        self._described: DescribeAnswer | None = None
        self._nonsense = f"no-such-verb-{new_id()[-8:]}"

    async def step(self, name: str, check: Callable[[], Awaitable[str]]) -> bool:
        """Runs one check and keeps what it found; False if that is a failure."""
        try:
            finding = Finding(name, True, await check())
        except _Noted as noted:
            finding = Finding(name, True, str(noted), note=True)
        except (_Broken, BadMessage) as broken:
            finding = Finding(name, False, str(broken))
        except Unavailable as error:
            finding = Finding(name, False, f"no answer: {error.message}")
        self.findings.append(finding)
        return finding.ok

    async def answers(self) -> str:
        """Somebody is there."""
        tried = []
        for subject in (subjects.shim(self._kind, "execute"), subjects.shim(self._kind)):
            self._subject = subject
            try:
                await self._ask(self._request(self._nonsense))
            except Unavailable as error:
                tried.append(error.message)
            except BadMessage:
                break
            else:
                break
        else:
            raise _Broken(f"{'; '.join(tried)}. Is the shim running, and connected to this tier's own server?")
        return f"on {self._subject}"

    async def describe(self) -> str:
        """It says what it is, and which verbs it has."""
        try:
            answer = await self._bus.request(
                subjects.shim(self._kind, "describe"), b"{}", timeout=self._timeout, headers=wire.JSON_HEADERS
            )
        except Unavailable:
            raise _Noted("not answered, which is allowed: verbs of its own then count as not to be repeated") from None
        described = load_description(answer.data)
        if described.kind != self._kind:
            raise _Broken(f"kind is {described.kind!r}, and it answers as {self._kind!r}")
        self._described = described
        verbs = [f"{name} (idempotent)" if verb.idempotent else name for name, verb in described.verbs.items()]
        return f"verbs: {', '.join(verbs) or 'none'}"

    async def unknown_verb(self) -> str:
        """A slip is told, and not taken for done."""
        answer = await self._ask(self._request(self._nonsense))
        if answer.ok:
            raise _Broken(
                f"the verb {self._nonsense!r} was answered with ok: true: a slip would look as if it were done"
            )
        return f"refused: {_why(answer)}"

    async def garbage(self) -> str:
        """Whatever comes, it answers, and goes on."""
        silent = []
        for data in GARBAGE:
            try:
                answer = load_answer((await self._send(data)).data)
            except Unavailable:
                silent.append(str(data))
                continue
            if answer.ok:
                raise _Broken(f"{data!r} was answered with ok: true")
        try:
            await self._ask(self._request(self._nonsense))
        except Unavailable:
            raise _Broken(f"it answers no more after one of {', '.join(map(str, GARBAGE))}") from None
        if silent:
            raise _Broken(f"no answer to {', '.join(silent)}: who sent it waits in vain")
        return "each is answered with an error"

    async def several(self) -> str:
        """Requests that come together are all answered."""
        requests = [self._request(self._nonsense) for _ in range(AT_ONCE)]
        outcomes = await asyncio.gather(*map(self._ask, requests), return_exceptions=True)
        lost = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
        if lost:
            raise _Broken(f"{len(lost)} of {AT_ONCE} requests that were sent together were not answered")
        wrong = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if wrong:
            raise wrong[0]
        return f"{AT_ONCE} of {AT_ONCE} answered"

    async def execute(self) -> str:
        """A verb that is harmless, or the one that was named."""
        verb = self._chosen()
        answer = await self._ask(self._request(verb, args=self._args))
        if not answer.ok and self._verb is not None:
            raise _Broken(f"{verb} failed: {_why(answer)}")
        if not answer.ok:
            raise _Noted(f"{verb} without arguments was refused ({_why(answer)}): name a verb with arguments to try it")
        return f"{verb}: {_brief(answer.result)}"

    async def again(self) -> str:
        """After a crash the host repeats what it may, under the same id."""
        verb = self._chosen()
        known = self._described.verbs.get(verb) if self._described else None
        if not (known.idempotent if known else verb in IDEMPOTENT):
            raise _Noted(f"{verb} is not idempotent: the host never repeats it")
        request = self._request(verb, args=self._args)
        first, second = await self._ask(request), await self._ask(request)
        if first.ok != second.ok:
            raise _Broken(
                f"{verb} was answered with ok: {_json(first.ok)}, and with ok: {_json(second.ok)} when repeated"
            )
        return f"{verb} twice with one id: the same answer"

    async def deadline(self) -> str:
        """It answers in time, and begins nothing after its time."""
        await self._ask(self._request(self._nonsense, seconds=self._timeout))
        try:
            verb = self._chosen()
        except _Noted:
            return "answered before it"
        late = await self._ask(self._request(verb, args=self._args, seconds=-60.0))
        if late.ok:
            raise _Noted(f"{verb} was executed a minute after its deadline: better refuse what comes too late")
        return f"answered before it, and refused after it: {_why(late)}"

    async def large(self) -> str:
        """A manifest of some size gets through."""
        try:
            await self._ask(self._request(self._nonsense, args={"text": "x" * LARGE}))
        except (Unavailable, BadMessage) as error:
            raise _Noted(f"{LARGE // 1000} KB of arguments: {error.message}") from None
        return f"{LARGE // 1000} KB of arguments are answered"

    def _chosen(self) -> str:
        verbs = self._described.verbs if self._described else {}
        chosen = self._verb or next((verb for verb in READING if verb in verbs), None)
        if chosen is None:
            raise _Noted("no verb is known that only reads: name one to have it tried")
        return chosen

    def _request(self, verb: str, *, args: Mapping[str, Any] | None = None, seconds: float = 60.0) -> Request:
        deadline = format_time(datetime.now(UTC) + timedelta(seconds=seconds))
        return Request(new_id(), 1, verb, args or {}, deadline)

    async def _ask(self, request: Request) -> Answer:
        data = (await self._send(dump_request(request))).data
        answer = load_answer(data)
        if not answer.ok and not json.loads(data).get("error"):
            raise _Broken(f"{data.decode()[:200]!r} says no reason: expected an error with code and message")
        return answer

    async def _send(self, data: bytes) -> Any:
        return await self._bus.request(self._subject, data, timeout=self._timeout, headers=wire.JSON_HEADERS)


def _why(answer: Answer) -> str:
    return _brief(f"{answer.error.code}: {answer.error.message}" if answer.error else None)


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else _json(value)
    return text if len(text) <= 120 else text[:120] + "..."


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

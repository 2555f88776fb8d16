"""Requests: each is sent with an address of its own below the inbox, where its answers come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from secrets import token_hex

from bus.errors import Unavailable
from bus.message import Message

Ask = Callable[[str, str, bytes, Mapping[str, str] | None], None]
"""Sends a message: (subject, reply, payload, headers)."""

NO_RESPONDERS = "503"


class NoAnswer(Unavailable):
    """Nobody answered. `no_responders`: nobody is there to answer, as a server said at once."""

    def __init__(self, message: str, *, no_responders: bool = False, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.no_responders = no_responders


@dataclass(slots=True, eq=False)
class _One:
    """Waits for the first answer."""

    done: asyncio.Future[Message]

    def take(self, answer: Message) -> None:
        self.done.set_result(answer)


@dataclass(slots=True, eq=False)
class _Many:
    """Gathers answers until they stall, enough are there, or an empty one says that it was all."""

    done: asyncio.Future[Message | None]
    stall: float
    expect: int | None
    until: Callable[[Message], bool] | None = None
    answers: list[Message] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None

    def take(self, answer: Message) -> None:
        if answer.status == NO_RESPONDERS or not (answer.data or answer.headers):
            self.done.set_result(answer)
            return
        self.answers.append(answer)
        if len(self.answers) == self.expect or (self.until is not None and self.until(answer)):
            self.done.set_result(answer)
            return
        self.rest()
        self.timer = self.done.get_loop().call_later(self.stall, self.finish)

    def finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def rest(self) -> None:
        if self.timer is not None:
            self.timer.cancel()


class Inbox:
    """The answers of one connection. `prefix` is where they come; nobody else uses it."""

    def __init__(self, above: str, ask: Ask) -> None:
        self.prefix = f"{above}.{token_hex(11)}."
        self._loop = asyncio.get_running_loop()
        self._ask = ask
        self._asked = 0
        self._waiting: dict[str, _One | _Many] = {}

    async def one(self, subject: str, payload: bytes, headers: Mapping[str, str] | None, timeout: float) -> Message:
        """The first answer."""
        waiting = _One(self._loop.create_future())
        token = self._send(subject, payload, headers, waiting)
        timer = self._loop.call_later(timeout, self._expire, waiting, subject, timeout)
        try:
            answer = await waiting.done
        finally:
            timer.cancel()
            del self._waiting[token]
        if answer.status == NO_RESPONDERS:
            raise _nobody(subject)
        return answer

    async def many(
        self,
        subject: str,
        payload: bytes,
        headers: Mapping[str, str] | None,
        *,
        timeout: float,
        stall: float,
        expect: int | None,
        until: Callable[[Message], bool] | None = None,
        end: bool = False,
    ) -> list[Message]:
        """All answers; with `end` also the empty one that says so."""
        waiting = _Many(self._loop.create_future(), stall, expect, until)
        token = self._send(subject, payload, headers, waiting)
        timer = self._loop.call_later(timeout, waiting.finish)
        try:
            last = await waiting.done
        finally:
            timer.cancel()
            waiting.rest()
            del self._waiting[token]
        if last is not None and last.status == NO_RESPONDERS:
            raise _nobody(subject)
        if end and last is not None and last not in waiting.answers:
            waiting.answers.append(last)
        return waiting.answers

    def take(self, answer: Message) -> None:
        """Hands an answer to who waits for it; one that comes too late is dropped."""
        waiting = self._waiting.get(answer.subject[len(self.prefix) :])
        if waiting is not None and not waiting.done.done():
            waiting.take(answer)

    def fail(self, why: str) -> None:
        """Nobody who waits now will get an answer."""
        for waiting in self._waiting.values():
            if not waiting.done.done():
                waiting.done.set_exception(NoAnswer(why, hint="it may have been done all the same"))

    def _send(self, subject: str, payload: bytes, headers: Mapping[str, str] | None, waiting: _One | _Many) -> str:
        self._asked += 1
        token = f"{self._asked:x}"
        self._ask(subject, self.prefix + token, payload, headers)
        self._waiting[token] = waiting
        return token

    def _expire(self, waiting: _One, subject: str, timeout: float) -> None:
        if not waiting.done.done():
            waiting.done.set_exception(NoAnswer(f"no answer from {subject} within {timeout:g} s"))


def _nobody(subject: str) -> NoAnswer:
    return NoAnswer(f"nobody listens on {subject}", no_responders=True)

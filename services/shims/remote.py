"""A shim behind the bus: whoever answers on `ote.local.shim.<kind>`, in any language.

What nobody ran and what nobody knows are kept apart: where no one listens (or there is no way there)
the command was certainly not executed; where an answer did not come it may have been.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime

from bus import subjects, wire
from bus.client import Bus, Message, NoAnswer
from bus.contracts import parse
from bus.errors import BadMessage, BadRequest, Unavailable
from bus.event import parse_time
from bus.shim_messages import DescribeAnswer, WatchAnswer
from services.shims.base import Answer, Request, Verb, conventional
from services.shims.encoding import dump_request, load_answer, load_description

PATIENCE = 600.0
"""How long a request without a deadline waits for its answer, in seconds."""
ASIDE = 2.0
"""How long an answer to `describe` may take, and the next message of `watch`, in seconds."""
WATCHED = 30.0
"""How long `watch` gathers, in seconds."""
LEARN_AGAIN = 10.0
"""After how many seconds the shim is asked again for a verb that it did not describe."""


class RemoteShim:
    """The shim of this kind that answers on this bus."""

    def __init__(self, bus: Bus, kind: str) -> None:
        self.kind = kind
        #: What the shim last said of its verbs; empty until it was first asked.
        self.verbs: Mapping[str, Verb] = {}
        self._bus = bus
        self._subjects = (subjects.shim(kind, "execute"), subjects.shim(kind))
        self._answered = self._subjects[0]
        self._learned = float("-inf")

    async def describe(self) -> DescribeAnswer:
        """What the shim says of itself. Unavailable if it does not say it, BadMessage if it says it wrongly."""
        answer = await self._bus.request(subjects.shim(self.kind, "describe"), b"{}", timeout=ASIDE)
        described = load_description(answer.data)
        self.verbs = {
            name: conventional(name, idempotent=verb.idempotent, description=verb.description, read_only=verb.read_only)
            for name, verb in described.verbs.items()
        }
        return described

    async def execute(self, request: Request) -> Answer:
        """Has it carried out. An answer that is none is a failure that shows what came. NoAnswer if none
        came before the deadline: with `no_responders` nobody ran it."""
        await self.learn(request.verb)
        left = _seconds_left(request.deadline)
        if left <= 0:
            return Answer.failed("expired", f"it was not begun: its deadline was {request.deadline}")
        try:
            answer = await self._ask(dump_request(request), left)
            if error := answer.headers.get(wire.SERVICE_ERROR):
                return Answer.failed("shim-error", error)
            return load_answer(answer.data)
        except BadMessage as error:
            return Answer.failed("bad-answer", error.message)
        except BadRequest as error:
            return Answer.refused(error)

    async def watch(self) -> AsyncIterator[WatchAnswer]:
        """The objects that the shim has now. Unavailable at the end if the shim did not say that this was all:
        it pauses, or goes on, or does not watch; BadMessage or BadRequest for an answer that is none."""
        answers = await self._bus.request_many(
            subjects.shim(self.kind, "watch"), b"{}", timeout=WATCHED, stall=ASIDE, end=True
        )
        for answer in answers:
            if answer.data:
                yield parse(WatchAnswer, wire.parse_body(answer.data, wire.JSON))
        if not answers or answers[-1].data:
            raise Unavailable(f"the shim {self.kind} has not said that these are all its objects")

    async def learn(self, verb: str) -> None:
        """Asks for the verbs when one is new. The shim may be of those that do not describe themselves."""
        now = asyncio.get_running_loop().time()
        if verb in self.verbs or now < self._learned + LEARN_AGAIN:
            return
        self._learned = now
        try:
            await self.describe()
        except (Unavailable, BadMessage):
            return

    async def _ask(self, data: bytes, timeout: float) -> Message:
        if not self._bus.connected:
            raise NoAnswer("not connected to a NATS server", no_responders=True)
        for subject in sorted(self._subjects, key=lambda known: known != self._answered):
            try:
                answer = await self._bus.request(subject, data, timeout=timeout, headers=wire.JSON_HEADERS)
            except NoAnswer as error:
                if not error.no_responders:
                    raise
                continue
            self._answered = subject
            return answer
        raise NoAnswer(
            f"no shim answers on {' or '.join(self._subjects)}",
            no_responders=True,
            hint=f"start the shim {self.kind}, connected to this tier's server; `ote shim check {self.kind}`",
        )


def _seconds_left(deadline: str | None) -> float:
    if deadline is None:
        return PATIENCE
    return (parse_time(deadline) - datetime.now(UTC)).total_seconds()

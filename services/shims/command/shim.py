"""The `command` shim: each verb is a program of this machine that the tier's file of commands allows.

It works outside the log: what a program does can not be taken back. Where its end was not recorded, the
command is in doubt, unless the file says that the program may be run again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from bus.errors import BadRequest
from bus.event import parse_time
from bus.shim_messages import DescribeAnswer, WatchAnswer
from services.shims.base import Answer, Request, ShimError, Verb, description_of
from services.shims.command.process import Ended, run
from services.shims.command.programs import Program


class CommandShim:
    """The shim of kind `command`, with these programs by verb."""

    kind: Final = "command"

    def __init__(self, programs: Mapping[str, Program]) -> None:
        self._programs = programs
        self.verbs: Mapping[str, Verb] = {
            name: Verb(one.idempotent or one.read_only, description=_described(one), read_only=one.read_only)
            for name, one in programs.items()
        }

    async def describe(self) -> DescribeAnswer:
        """Its verbs."""
        return description_of(self.kind, self.verbs)

    async def execute(self, request: Request) -> Answer:
        """Runs the program: `{"exit", "seconds", "stdout", "stderr"}`, also where it failed."""
        program = self._programs.get(request.verb)
        if program is None:
            known = ", ".join(self._programs) or "none"
            return Answer.failed("unknown-verb", f"no command {request.verb!r} is allowed here: there are {known}")
        try:
            words = program.words(request.args)
        except BadRequest as error:
            return Answer.refused(error)
        left = _seconds_left(request.deadline)
        if left <= 0:
            return Answer.failed("expired", f"it was not begun: its deadline was {request.deadline}")
        env = {**program.env, "OTE_COMMAND": request.id, "OTE_ATTEMPT": str(request.attempt)}
        try:
            ended = await run(words, env, min(program.timeout, left))
        except (OSError, ValueError) as error:
            return Answer.failed("not-started", f"{words[0]} can not be started: {error}")
        return _told(words[0], ended)

    async def watch(self) -> AsyncIterator[WatchAnswer]:
        """It has no objects."""
        return
        yield


def _told(name: str, ended: Ended) -> Answer:
    result: dict[str, Any] = {"exit": ended.exit, "seconds": round(ended.seconds, 3)}
    result |= {"stdout": ended.stdout, "stderr": ended.stderr}
    if ended.late:
        message = f"{name} was killed after {ended.seconds:.3g} s: its time was over"
        return Answer(False, result, ShimError("timeout", message))
    if ended.exit == 0:
        return Answer.done(result)
    last = (ended.stderr.strip() or ended.stdout.strip()).splitlines()[-1:]
    how = f"exit code {ended.exit}" if ended.exit > 0 else f"signal {-ended.exit}"
    message = ": ".join([f"{name} ended with {how}", *(line[:500] for line in last)])
    return Answer(False, result, ShimError("exit", message))


def _described(program: Program) -> str:
    names = ", ".join(name if one.default is None else f"{name}?" for name, one in program.args.items())
    return " ".join(part for part in (f"{{{names}}}", program.description) if part)


def _seconds_left(deadline: str | None) -> float:
    return float("inf") if deadline is None else (parse_time(deadline) - datetime.now(UTC)).total_seconds()

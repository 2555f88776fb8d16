"""What a shim is: the one interface between the host and whatever carries commands out.

A plain shim (`Shim`) works outside the log: its effect and its result are two commits, so that after a
crash between them a verb that is not idempotent is in doubt. A transactional shim works within the
log's own transaction: its effect and its result commit together, and so happen exactly once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bus.errors import OteError
from bus.event import Draft, Event
from bus.shim_messages import DescribeAnswer, ShimVerb, WatchAnswer
from services.shims.keys import objects_in
from store.api import Reader

IDEMPOTENT = frozenset({"apply", "delete", "get", "list", "scale"})
"""Verbs that mean the same everywhere: done twice they have the effect of once."""
READ_ONLY = frozenset({"get", "list"})
"""Of these the verbs that change nothing."""


@dataclass(frozen=True, slots=True)
class Request:
    """One command for a shim. `attempt` counts from 1; `deadline` is RFC 3339 text: who has not begun by
    then does not begin, and an answer that comes later is not waited for."""

    id: str
    attempt: int
    verb: str
    args: Mapping[str, Any]
    deadline: str | None = None


@dataclass(frozen=True, slots=True)
class ShimError:
    """Why it did not succeed: a word for programs, a sentence for people, where in the arguments, what to do."""

    code: str
    message: str
    field: str | None = None
    hint: str | None = None

    def body(self) -> dict[str, str]:
        """`{"code", "message", "field"?, "hint"?}`."""
        parts = {"code": self.code, "message": self.message, "field": self.field, "hint": self.hint}
        return {name: part for name, part in parts.items() if part is not None}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a command: `result` if it is `ok`, else `error`, and what there is to show beside it."""

    ok: bool
    result: Any = None
    error: ShimError | None = None

    @staticmethod
    def done(result: Any = None) -> Answer:
        """It succeeded."""
        return Answer(True, result)

    @staticmethod
    def failed(code: str, message: str) -> Answer:
        """It did not."""
        return Answer(False, error=ShimError(code, message))

    @staticmethod
    def refused(error: OteError) -> Answer:
        """It did not, for this reason."""
        return Answer(False, error=ShimError(error.code, error.message, error.field, error.hint))


@dataclass(frozen=True, slots=True)
class Verb:
    """What the host must know of a verb: whether it may be repeated, which objects it touches (None:
    unknown, it runs alone), and whether it changes nothing, so that it may be asked live."""

    idempotent: bool = False
    objects: Callable[[Mapping[str, Any]], frozenset[str] | None] = lambda args: None
    description: str | None = None
    read_only: bool = False


class _Described(Protocol):
    """What every shim tells of itself."""

    @property
    def kind(self) -> str: ...
    @property
    def verbs(self) -> Mapping[str, Verb]:
        """Its verbs, as far as they are known."""
        ...

    async def describe(self) -> DescribeAnswer: ...
    def watch(self) -> AsyncIterator[WatchAnswer]:
        """The objects it has, and it may be changes of them. It ends when all were told. Unavailable
        where it can not be said that these are all."""
        ...


class Shim(_Described, Protocol):
    """A shim that works outside the log."""

    async def execute(self, request: Request) -> Answer:
        """Carries it out. Unavailable if there is no answer: with `no_responders` nobody ran it, else
        nobody knows."""
        ...


class TransactionalShim(_Described, Protocol):
    """A shim whose whole effect is events of this tier's log."""

    def begin_in(self, tx: Reader[Event]) -> list[Draft]:
        """What it does when its tier starts, before any command; nothing where it has been done. As quick and
        repeatable as a command."""
        ...

    def restore_in(self, tx: Reader[Event], told: Sequence[Mapping[str, Any]]) -> list[Draft]:
        """What it does when the log that held its effects was lost, and these reports of its objects have come back."""
        ...

    def execute_in(self, tx: Reader[Event], request: Request) -> tuple[Answer, list[Draft]]:
        """Carries it out on what the transaction sees; the caller appends the drafts to the same
        transaction. Quick, repeatable, no I/O, and never raises: what is wrong is in the answer."""
        ...


def idempotent(shim: _Described, verb: str) -> bool:
    """Whether the verb may be repeated after a crash."""
    known = shim.verbs.get(verb)
    return known.idempotent if known else verb in IDEMPOTENT


def read_only(shim: _Described, verb: str) -> bool:
    """Whether the verb changes nothing. A shim that describes itself names all that may be asked."""
    if not shim.verbs:
        return verb in READ_ONLY
    known = shim.verbs.get(verb)
    return known is not None and known.read_only


def objects_of(shim: _Described, verb: str, args: Mapping[str, Any]) -> frozenset[str] | None:
    """Which objects a command touches; None if unknown: it runs alone."""
    known = shim.verbs.get(verb)
    return known.objects(args) if known else conventional(verb).objects(args)


def conventional(
    verb: str, *, idempotent: bool | None = None, description: str | None = None, read_only: bool | None = None
) -> Verb:
    """What a verb of this name is, where its shim does not say."""
    names_objects = verb in IDEMPOTENT and verb != "list"
    return Verb(
        verb in IDEMPOTENT if idempotent is None else idempotent,
        objects_in if names_objects else lambda args: None,
        description,
        verb in READ_ONLY if read_only is None else read_only,
    )


def description_of(kind: str, verbs: Mapping[str, Verb], version: str | None = None) -> DescribeAnswer:
    """The answer to `describe`."""
    described = {
        name: ShimVerb(idempotent=verb.idempotent, read_only=verb.read_only, description=verb.description)
        for name, verb in verbs.items()
    }
    return DescribeAnswer(kind=kind, version=version, verbs=described)

"""One command at work: what the host knows of it, and what it asks the log about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from bus import types
from bus.errors import OteError
from bus.event import Draft, Event
from bus.types import OBSERVED, SUCCEEDED
from services.shims.base import Answer, Request, Shim, TransactionalShim, idempotent, objects_of
from services.tier.mail import Mail, may_repeat
from store.api import Cursor, Mailbox, Reader, Tx

logger = structlog.get_logger()

SETTLED = frozenset(types.FINALS.values())

AnyShim = Shim | TransactionalShim


@dataclass(slots=True)
class Job:
    """One command at work. `resumed`: it was received in an earlier life of this process, and can not be
    withdrawn any more. `retried`: a person has said that it shall be done again. `reread`: it was found in the log,
    where it may have ended meanwhile. `may_be_done`: a shim outside the log may have done it already. `idle` while it
    only waits for its shim to have room, or for somebody to run it."""

    event: Event
    shim: AnyShim
    #: the number that the log must have received before it takes the result; None: it has
    cursor: Cursor | None = None
    resumed: bool = False
    retried: bool = False
    reread: bool = False
    may_be_done: bool = False
    attempt: int = 1
    idle: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def command(self) -> str:
        """The command's id."""
        return str(self.event.data["command"])

    @property
    def repeatable(self) -> bool:
        """Whether doing it twice has the effect of once."""
        return idempotent(self.shim, self.event.data["do"]["verb"])


class NotReceived(OteError):
    """The log refused the `received` that comes before this result; both are offered again."""

    code = "not-received"


def mail_in_state(reader: Reader[Event], command: str, me: str, state: str) -> Event | None:
    """The mail of a command that is in this state here."""
    row = reader.target(command, me)
    if row is None or row.state != state:
        return None
    mail = reader.mail(Mailbox(row.origin, row.epoch, me), after=row.number - 1, limit=1)
    return mail[0].event if mail and mail[0].number == row.number else None


def must_be_received(tx: Tx[Event], job: Job) -> None:
    """Raises NotReceived while the cursor has not passed the command's number."""
    if job.cursor is None:
        return
    there = tx.cursors().get(job.event.source)
    if there is None or there < job.cursor:
        raise NotReceived(f"command {job.command} is not received yet")


def once(op: Callable[[Tx[Event]], Event | None]) -> Callable[[Tx[Event]], None]:
    """The op, which returns the last event that it wrote; it does nothing where an earlier try was committed and
    nobody could know."""
    last: str | None = None

    def run(tx: Tx[Event]) -> None:
        nonlocal last
        if last is not None and tx.event(last) is not None:
            return
        event = op(tx)
        last = None if event is None else event.id

    return run


#: What a fault in a shim's own code raises; what the log raises is another matter, and tried again.
FAULTS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


def execute_in(shim: AnyShim, tx: Reader[Event], request: Request) -> tuple[Answer, list[Draft]]:
    """What a transactional shim does; a fault in its own code fails the command."""
    try:
        return shim.execute_in(tx, request)  # type: ignore[union-attr]
    except FAULTS as error:
        logger.exception("shim failed", kind=shim.kind, command=request.id)
        return Answer.failed("shim-error", f"the shim {shim.kind} failed: {error}"), []


def begin_in(shim: AnyShim, tx: Tx[Event]) -> None:
    """What a transactional shim does when the tier starts; a fault in its own code does not hold the tier up."""
    try:
        drafts = shim.begin_in(tx)  # type: ignore[union-attr]
    except FAULTS:
        logger.exception("shim failed to begin", kind=shim.kind)
        return
    for draft in drafts:
        tx.append(draft)


def untold(events: Sequence[Event]) -> list[str]:
    """The commands that succeeded after the last of which a report of objects tells: what they changed is not in it."""
    told: set[object] = set()
    done: list[str] = []
    for event in events:
        if event.type == OBSERVED:
            told.update(change.get("command") for change in event.data.get("changes", ()))
    for event in sorted(events, key=_place):
        if event.type == SUCCEEDED:
            done = [] if event.data["command"] in told else [*done, str(event.data["command"])]
    return done


def _place(event: Event) -> tuple[str, int]:
    return event.epoch, event.seq or 0


def restore_in(tx: Tx[Event], shim: AnyShim, events: Sequence[Event]) -> None:
    """What a transactional shim had, as it had told in these events, is there again."""
    told = [event.data for event in sorted(events, key=_place) if event.type == OBSERVED]
    for draft in shim.restore_in(tx, told) if told else ():  # type: ignore[union-attr]
        tx.append(draft)


def caused_by(job: Job, draft: Draft) -> Draft:
    """The draft with the command that led to it."""
    return replace(draft, cause=draft.cause or job.event.id, data={**draft.data, "command_id": job.command})


def is_settled(tx: Tx[Event], job: Job) -> bool:
    """Whether the command has its final already: from an earlier life of its origin or of this cluster, or written
    after the log was read."""
    if not (job.reread or may_repeat(job.event, tx.source, tx.epoch)):
        return False
    row = tx.target(job.command, tx.source)
    return row is not None and row.state in SETTLED


def transactional(shim: AnyShim) -> bool:
    """Whether the shim works within the log's own transaction."""
    return hasattr(shim, "execute_in")


def mail_in_log(reader: Reader[Event], event: Event, me: str) -> Mail | None:
    """The mail that this event shows to be received here."""
    if event.type == types.RECEIVED:
        submitted = reader.event(event.cause) if event.source == me and event.cause else None
        if submitted is None:
            return None
        return Mail(Cursor(submitted.epoch, event.data["number"]), submitted, None)
    number = next((to.number for to in event.to if to.path == me), None)
    return None if number is None else Mail(Cursor(event.epoch, number), event, None)


def keys_of(shim: AnyShim, event: Event) -> frozenset[object] | None:
    """What must not overlap: the objects of this shim, and the lane. A lane alone says enough."""
    do = event.data["do"]
    objects = objects_of(shim, do["verb"], do.get("args") or {})
    lane = event.data.get("lane")
    if objects is None:
        return None if lane is None else frozenset({("lane", lane)})
    keys: set[object] = {(shim.kind, key) for key in objects}
    return frozenset(keys if lane is None else keys | {("lane", lane)})

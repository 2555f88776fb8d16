"""What a target commits when mail has its turn: the cursor, and what it says about the number.

The cursor moves in the transaction of `received`. A number for which a later event stands is not
carried out: the target says so with a final of its own. Cancels and resolves are mail too, but say
nothing of themselves: their effect is the final of the command that they name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bus import subjects
from bus.errors import OteError
from bus.event import Draft, Event
from bus.types import CANCEL, CANCELLED, IN_DOUBT, RECEIVED, SUBMITTED, SUPERSEDED
from services.controller.delivery.submission import OPEN
from services.tier.mail import Mail, may_repeat
from store.api import Cursor, Mailbox, Tx


class OutOfOrder(OteError):
    """A number whose predecessor is not committed; the receiver begins again from the log."""

    code = "out-of-order"

    def __init__(self, origin: str, number: int, expected: int) -> None:
        super().__init__(f"mail {number} of {origin} came where {expected} was expected")


def accept(tx: Tx[Event], mail: Mail) -> None:
    """Records that this number has been received, or why it will not be carried out.

    Raises:
        OutOfOrder: the number before it was not received, because the log refused it.
    """
    before = tx.cursors().get(mail.origin, Cursor("", 0))
    expected = before.number + 1 if before.epoch == mail.cursor.epoch else 1
    if mail.cursor.number != expected and not _is_next(tx, mail, expected):
        raise OutOfOrder(mail.origin, mail.cursor.number, expected)
    tx.move_cursor(mail.origin, mail.cursor)
    if mail.cover is not None:
        for command in covered_commands(mail, tx.source):
            withdrawn = CANCELLED if mail.cover.type == CANCEL else SUPERSEDED
            kind = _left(tx, command, withdrawn) if _is_known(tx, command, mail.cover) else withdrawn
            if kind is None:
                continue
            tx.append(say(tx.source, kind, command, cause=mail.cover.id, by=_by(mail.cover)))
    elif mail.event is not None and mail.event.type == SUBMITTED and not _is_repeat(tx, mail.event):
        data = {"origin": mail.origin, "number": mail.cursor.number}
        tx.append(say(tx.source, RECEIVED, mail.event.data["command"], cause=mail.event.id, **data))


def _is_next(tx: Tx[Event], mail: Mail, expected: int) -> bool:
    """Whether what is missing before this number was compacted away where it was. What comes of it late is a double,
    also if it is in the log by now."""
    floor = tx.mail_floors(tx.source).get(Mailbox(mail.origin, mail.cursor.epoch, tx.source), 0)
    return expected < mail.cursor.number <= floor + 1


def _is_repeat(tx: Tx[Event], event: Event) -> bool:
    return _is_known(tx, event.data["command"], event)


def _left(tx: Tx[Event], command: str, kind: str) -> str | None:
    """What is to be said of a command that is withdrawn, and that an earlier life had received: nothing, if it has a
    final or is at work here. Where that life had started it, nobody knows."""
    row = tx.target(command, tx.source)
    if row is None or row.state not in OPEN or any(row.command == command for row, _ in tx.unfinished(tx.source)):
        return None
    return IN_DOUBT if row.state == "started" else kind


def _is_known(tx: Tx[Event], command: str, event: Event) -> bool:
    """Whether this cluster has said something of the command before this mail of it."""
    if not may_repeat(event, tx.source, tx.epoch):
        return False
    row = tx.target(command, tx.source)
    return row is not None and row.state != "accepted"


def covered_commands(mail: Mail, me: str) -> list[str]:
    """The command that had this number, from the cover; a covered cancel or resolve names none new."""
    assert mail.cover is not None
    if mail.event is not None and mail.event.type != SUBMITTED:
        return []
    return [c.command for c in mail.cover.supersedes if c.path == me and c.number == mail.cursor.number]


def _by(cover: Event) -> str:
    return cover.id if cover.type == CANCEL else str(cover.data["command"])


def say(me: str, kind: str, command: str, *, cause: str, **data: Any) -> Draft:
    """An event of this cluster about a command, on its way up."""
    said: Mapping[str, Any] = {"command": command, **{k: v for k, v in data.items() if v is not None}}
    return Draft(type=kind, subject=subjects.event(kind, me), data=said, cause=cause)

"""Submit: one transaction records the command and gives each addressee the next number of its mailbox.

A command to many is recorded as chunks of tens to a few hundred addressees, grouped by subtree; each chunk
is an event of its own with the same command id, on the narrowest subject that covers its addressees.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from itertools import groupby
from typing import Any

from bus import subjects
from bus.errors import BadRequest, Conflict, NotFound, Refused
from bus.event import Addressee, Cover, Draft, Event, new_id, parse_time
from bus.paths import common_scope
from bus.types import CANCEL, RESOLVE, SUBMITTED
from store.api import CommandRow, Mailbox, Reader, TargetRow, Tx

#: Addressees of one event: 10,000 targets are some tens of messages, each well below 64 KB.
CHUNK = 300

#: So many of them in one subtree have an event of their own.
OWN_CHUNK = 30

_PAGE = 1000

#: What a message has around an event: headers, and the frame (bytes).
ENVELOPE = 256

#: Equal content in equal bytes.
_SORTED = json.JSONEncoder(sort_keys=True)

#: The states of a target that is still open for the origin.
OPEN = frozenset({"accepted", "received", "started"})
#: The finals after which a command may be tried again.
RETRIED = frozenset({"failed", "expired", "refused"})


@dataclass(frozen=True)
class Order:
    """A command before it has a place. `expiresat` is RFC 3339 text; `selector` is kept as the user
    wrote it, the resolved targets are final."""

    id: str
    selector: str
    do: Mapping[str, Any]
    actor: str | None = None
    key: str | None = None
    lane: str | None = None
    ttl: float | None = None
    expiresat: str | None = None
    #: the event that led to it
    cause: str | None = None
    #: the id is new, made here: nothing can have been submitted under it
    is_new: bool = False

    @cached_property
    def digest(self) -> str:
        """Tells whether a second submit with the same id asks for the same."""
        content = [self.selector, self.do, self.key, self.lane, self.ttl]
        return blake2b(_SORTED.encode(content).encode(), digest_size=16).hexdigest()

    def data(self, count: int) -> dict[str, Any]:
        """The `data` of the event."""
        data: dict[str, Any] = {
            "command": self.id,
            "selector": self.selector,
            "do": self.do,
            "digest": self.digest,
            "count": count,
        }
        data.update((name, value) for name in ("key", "lane") if (value := getattr(self, name)) is not None)
        return data


@dataclass(frozen=True, slots=True)
class Target:
    """An addressee: its path and its epoch as the registry knows it ("" if unknown)."""

    path: str
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Addressees that one message reaches, and the subject that reaches them."""

    subject: str
    targets: Sequence[Target]


#: The rarest tag that all these paths carry, or None.
CommonTag = Callable[[Sequence[str]], str | None]


def plan(targets: Sequence[Target], common_tag: CommonTag) -> list[Chunk]:
    """The targets in chunks by subtree, each with the narrowest subject that covers it."""
    ordered = sorted(targets, key=lambda target: target.path.split("."))
    return [Chunk(_narrowest([t.path for t in part], common_tag), part) for part in _parts(ordered)]


def _parts(targets: list[Target]) -> list[list[Target]]:
    """A subtree with many of the targets has chunks of its own: others need not carry and read them."""
    if len(targets) < 2 * OWN_CHUNK:
        return [targets] if targets else []
    level = common_scope([target.path for target in targets]).count(".") + 1
    parts: list[list[Target]] = []
    scattered: list[Target] = []
    for _, group in groupby(targets, key=lambda target: target.path.split(".")[level : level + 1]):
        subtree = list(group)
        if len(subtree) < OWN_CHUNK:
            scattered += subtree
        else:
            parts += _parts(subtree)
    return parts + [scattered[start : start + CHUNK] for start in range(0, len(scattered), CHUNK)]


def _narrowest(paths: Sequence[str], common_tag: CommonTag) -> str:
    if len(paths) == 1:
        return subjects.command(paths[0])
    scope = common_scope(paths)
    tag = common_tag(paths)
    return subjects.tagged(tag, scope) if tag else subjects.under(scope)


def submit(tx: Tx[Event], order: Order, chunks: Sequence[Chunk], max_payload: int) -> list[Event]:
    """Records the command. Returns its events; none if the same command was submitted before.

    Raises:
        Conflict: a command with this id and another content exists.
        BadRequest: an event would not fit a message of `max_payload` bytes.
    """
    if not order.is_new and (existing := tx.command(order.id)) is not None:
        if existing.digest != order.digest:
            raise Conflict(
                f"command {order.id} exists with another content",
                field="id",
                hint="leave the id out, or send exactly what was sent the first time",
            )
        return []
    events = []
    count = sum(len(chunk.targets) for chunk in chunks)
    data = order.data(count)
    for chunk in chunks:
        paths = [target.path for target in chunk.targets]
        covers = covers_of(tx.unreceived(order.key, paths)) if order.key else ()
        draft = Draft(
            type=SUBMITTED,
            subject=chunk.subject,
            data=data,
            cause=order.cause,
            actor=order.actor,
            to=tuple(Addressee(t.path, tx.number(t.path), t.epoch) for t in chunk.targets),
            expiresat=order.expiresat,
            supersedes=covers,
        )
        event = tx.append(draft)
        if (size := len(event.body) + ENVELOPE) > max_payload:
            raise BadRequest(
                f"the command takes {size:,} bytes as a message, the server takes {max_payload:,}",
                field="do",
                hint="split it into several commands, or raise max_payload on every server of the tree",
            )
        events.append(event)
    return events


def reissue_all(tx: Tx[Event]) -> list[Event]:
    """Submits again, in a new life, every command of this tier that has no final (DESIGN 6.8). Returns the events."""
    return [event for row in _own_open(tx) for event in reissue(tx, row)]


def _own_open(tx: Tx[Event]) -> list[CommandRow]:
    found: list[CommandRow] = []
    before: str | None = None
    while page := tx.commands(open_only=True, limit=_PAGE, before=before):
        found += [row for row in page if row.origin == tx.source]
        before = page[-1].id
    return found[::-1]


def reissue(tx: Tx[Event], row: CommandRow) -> list[Event]:
    """Submits a command of an earlier life again where it is open, with new numbers and the lives of its targets that
    it was sent to first. What was withdrawn before it was delivered gets a number and the word that it was: its
    target has to end it."""
    old = [
        target
        for target in all_targets(tx, row.id)
        if target.state in OPEN and target.origin == tx.source and target.epoch < tx.epoch
    ]
    order = Order(row.id, row.selector, row.do, row.actor, row.key, row.lane)
    data = {**order.data(row.count), "digest": row.digest}
    events = _issue(tx, data, row.actor, row.expiresat, [target for target in old if not target.withdrawn])
    return events + _bury(tx, row.id, [target for target in old if target.withdrawn], row.actor)


def bury(tx: Tx[Event], event: Event) -> list[Event]:
    """The same of commands whose bodies are no more, since this event of an earlier life stands for them."""
    events = []
    for cover in event.supersedes:
        row = tx.target(cover.command, cover.path)
        is_old = row is not None and row.state in OPEN and row.origin == tx.source and row.epoch < tx.epoch
        if row is not None and is_old and tx.command(cover.command) is None:
            events += _bury(tx, cover.command, [row], event.actor)
    return events


def _bury(tx: Tx[Event], command: str, rows: Iterable[TargetRow], actor: str | None) -> list[Event]:
    """Numbers without a body: the cancel behind them covers them."""
    fresh = [replace(row, number=tx.number(row.target), epoch=tx.epoch, state="accepted") for row in rows]
    return _control(tx, CANCEL, {"command": command}, fresh, actor)


def issue_anew(tx: Tx[Event], event: Event) -> list[Event]:
    """Submits what an event of an earlier life of this tier asks for, where that event itself can not be kept: if
    another of the command is here, to those of whom no more is known than that they received it. Who has ended it
    knows it."""
    command = str(event.data["command"])
    rows = {to: tx.target(command, to.path) for to in event.to}
    is_known = tx.command(command) is not None
    targets = [
        Target(to.path, to.epoch)
        for to, row in rows.items()
        if not is_known or row is None or (row.state in OPEN and not row.origin)
    ]
    return _issue(tx, event.data, event.actor, event.expiresat, targets)


def tell_again(tx: Tx[Event], event: Event) -> list[Event]:
    """Submits what an event of an earlier life of this tier asked for once more, to those who have ended it: others
    hold something else in its place, and would know of a result without its command. Who has ended it does nothing."""
    command = str(event.data["command"])
    rows = ((to, tx.target(command, to.path)) for to in event.to)
    ended = [
        Target(to.path, to.epoch)
        for to, row in rows
        if row is not None and row.state not in OPEN and row.origin == tx.source and row.epoch != tx.epoch
    ]
    return _issue(tx, event.data, event.actor, event.expiresat, ended)


def _issue(
    tx: Tx[Event],
    data: Mapping[str, Any],
    actor: str | None,
    expiresat: str | None,
    targets: Sequence[TargetRow] | Sequence[Target],
) -> list[Event]:
    known = [t if isinstance(t, Target) else Target(t.target, t.target_epoch) for t in targets]
    events = []
    for chunk in plan(known, lambda _: None):
        to = tuple(Addressee(t.path, tx.number(t.path), t.epoch) for t in chunk.targets)
        events.append(tx.append(Draft(SUBMITTED, chunk.subject, data, actor=actor, to=to, expiresat=expiresat)))
    return events


def all_targets(reader: Reader[Event], id: str) -> list[TargetRow]:
    """All targets of a command, in order of path."""
    rows: list[TargetRow] = []
    while page := reader.targets(id, after=rows[-1].target if rows else "", limit=_PAGE):
        rows += page
    return rows


def covers_of(rows: Iterable[TargetRow]) -> tuple[Cover, ...]:
    """These numbers need not travel any more: a later one stands for them."""
    return tuple(Cover(row.target, row.number, row.command, row.checksum) for row in rows)


def cancel(tx: Tx[Event], command: str, targets: Sequence[TargetRow], actor: str | None) -> list[str]:
    """Withdraws the command at those targets that have no final. Returns their paths.

    What the target has not received travels as the cancel alone; what it has received it cancels if
    it has not started. The target decides, and says so.
    """
    open_rows = [row for row in targets if row.state in OPEN]
    _control(tx, CANCEL, {"command": command}, open_rows, actor)
    return [row.target for row in open_rows]


def resolve(tx: Tx[Event], row: TargetRow, verdict: str, actor: str | None) -> None:
    """Tells the target what became of a command in doubt: "done", "failed" or "retry".

    Raises:
        Refused: the command is not in doubt there.
    """
    if row.state != "in-doubt":
        raise Refused(
            f"command {row.command} is {row.state} at {row.target}, not in-doubt",
            field="target",
            hint="only what is in doubt is resolved by a person",
        )
    _control(tx, RESOLVE, {"command": row.command, "as": verdict}, [row], actor)


def anew(reader: Reader[Event], command: CommandRow, row: TargetRow) -> Order:
    """What has ended without success at a target, as a new command for that target. Without the key: it must
    not take the place of a later wish.

    Raises:
        Refused: it has not ended, or not so.
    """
    if row.state not in RETRIED:
        raise Refused(
            f"command {command.id} is {row.state} at {row.target}",
            field="target",
            hint="what failed, expired, was refused or is in doubt is tried again",
        )
    mail = reader.mail(Mailbox(row.origin, row.epoch, row.target), after=row.number - 1, limit=1)
    first = mail[0].event if mail and mail[0].number == row.number else None
    ttl = None
    if command.expiresat is not None:
        ttl = (parse_time(command.expiresat) - parse_time(command.submitted)).total_seconds()
    return Order(
        id=new_id(),
        selector=f"path:{row.target}",
        do=command.do,
        lane=command.lane,
        ttl=ttl,
        cause=first.id if first is not None else None,
        is_new=True,
    )


def _control(
    tx: Tx[Event], kind: str, data: dict[str, Any], rows: Sequence[TargetRow], actor: str | None
) -> list[Event]:
    by_path: dict[str, list[TargetRow]] = defaultdict(list)
    for row in rows:
        if kind == CANCEL and row.state == "accepted" and (row.origin, row.epoch) == (tx.source, tx.epoch):
            by_path[row.target].append(row)
    targets = [Target(row.target, row.target_epoch) for row in rows]
    events = []
    for chunk in plan(targets, lambda _: None):
        covered = [row for target in chunk.targets for row in by_path[target.path]]
        draft = Draft(
            type=kind,
            subject=chunk.subject,
            data=data,
            actor=actor,
            to=tuple(Addressee(t.path, tx.number(t.path), t.epoch) for t in chunk.targets),
            supersedes=covers_of(covered),
        )
        events.append(tx.append(draft))
    return events


def known_command(tx: Tx[Event], command: str) -> CommandRow:
    """The row of a command. NotFound if this tier has none with this id."""
    if (row := tx.command(command)) is None:
        raise NotFound(
            f"no command {command} here",
            field="id",
            hint="`ote get commands` lists what this tier knows",
        )
    return row

"""The projection `commands`: every command that this tier knows, and where it stands at each target.

Copies of an event reach a tier in any order, so the fold gives the same records for every order of
arrival: of two times the earlier counts, of two finals the one that the target wrote first, except
that `in-doubt` gives way to any other, and that what was withdrawn gives way to what an earlier life of
the target's log turns out to have done. Only what the target itself wrote moves a target's state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgpack

from store.api import Covering, Entry
from store.projections.base import Filed, Index, Rows, Table, Tables, optional_text, text

SUBMITTED = "ote.command.submitted.v1"
CANCEL = "ote.command.cancel.v1"
RESOLVE = "ote.command.resolve.v1"
RECEIVED = "ote.command.received.v1"
STARTED = "ote.command.started.v1"
STORED = "ote.command.stored.v1"
IN_DOUBT = "in-doubt"
FINALS = {
    f"ote.command.{state}.v1": state
    for state in ("succeeded", "failed", "expired", "superseded", "cancelled", IN_DOUBT, "refused")
}

_REPORTS = frozenset({RECEIVED, STARTED, *FINALS})

#: Finals that say that nothing was done.
WITHDRAWN = frozenset({"expired", "superseded", "cancelled", "refused"})

WAITING, RUNNING, DOUBTFUL, SETTLED = range(4)
"""Phases, in the only order in which a target moves through them."""

_PHASES = {"accepted": WAITING, "received": RUNNING, "started": RUNNING, IN_DOUBT: DOUBTFUL}


@dataclass(slots=True)
class Command:
    """A command; `row` is that of its first event here, `do` is msgpack."""

    id: str
    row: int
    origin: str
    epoch: str
    selector: str
    do: bytes
    digest: str
    count: int
    actor: str | None
    key: str | None
    lane: str | None
    submitted: str
    expiresat: str | None


@dataclass(slots=True)
class Target:
    """A command at one target. `command_row` orders targets as their commands came (None until the
    command is here); `submitted_row` and `final_row` are the events that hold the rest."""

    command: str
    target: str
    origin: str = ""
    epoch: str = ""
    number: int = 0
    target_epoch: str = ""
    state: str = "accepted"
    phase: int = WAITING
    checksum: bytes = b""
    key: str | None = None
    command_row: int | None = None
    submitted_row: int | None = None
    submitted_epoch: str = ""
    accepted: str | None = None
    received: str | None = None
    received_epoch: str | None = None
    received_seq: int | None = None
    started: str | None = None
    executed: str | None = None
    observed: str | None = None
    final_row: int | None = None
    final_epoch: str | None = None
    final_seq: int | None = None
    withdrawn: str | None = None

    @property
    def received_at(self) -> tuple[str, int]:
        """The place (epoch, seq) of the target's `received`; ("", 0) before it."""
        return self.received_epoch or "", self.received_seq or 0


@dataclass(slots=True)
class Waypoint:
    """When a tier on the way stored a command."""

    command: str
    tier: str
    time: str


COMMANDS = Table("commands", Command, ("id",), (Index("commands_by_row", ("row",)),))
TARGETS = Table(
    "targets",
    Target,
    ("command", "target"),
    (
        Index("targets_by_path", ("target", "command_row")),
        Index("targets_open", ("command_row",), f"phase < {SETTLED}"),
        Index("targets_running", ("target", "received_epoch", "received_seq"), f"phase = {RUNNING}"),
        Index("targets_keyed", ("key", "target"), f"phase = {WAITING} AND key IS NOT NULL"),
    ),
)
WAYPOINTS = Table("waypoints", Waypoint, ("command", "tier"))


class Commands:
    """Folds the events of commands whose targets are at or below `source`."""

    name = "commands"
    version = 1
    tables = (COMMANDS, TARGETS, WAYPOINTS)
    types = frozenset({SUBMITTED, CANCEL, RESOLVE, RECEIVED, STARTED, STORED, *FINALS})

    def __init__(self, source: str) -> None:
        self._source = source
        self._below = f"{source}."

    def apply(self, tables: Tables, events: Iterable[Filed]) -> None:
        named = [(text(filed.event.data, "command"), filed) for filed in events]
        self._load(tables, named)
        targets = tables.rows(TARGETS)
        for command, filed in named:
            event = filed.event
            if event.type in _REPORTS:
                if command:
                    _reported(targets, command, filed)
            elif event.type == SUBMITTED:
                if command:
                    self._submitted(tables, command, filed)
            elif event.type == STORED:
                _waypoints(tables, event)
            for cover in event.supersedes:
                self._covered(tables, event, cover)

    def _load(self, tables: Tables, named: list[tuple[str, Filed]]) -> None:
        """One query for each table and batch, instead of one for each record."""
        commands, targets = [], []
        for id, (_, event, _) in named:
            if id and event.type in _REPORTS:
                targets.append((id, event.source))
            elif id and event.type == SUBMITTED:
                commands.append((id,))
                targets += [(id, a.path) for a in event.to if self._is_below(a.path)]
        tables.rows(COMMANDS).load(commands)
        tables.rows(TARGETS).load(targets)

    def _is_below(self, path: str) -> bool:
        return path.startswith(self._below) or path == self._source

    def _submitted(self, tables: Tables, id: str, filed: Filed) -> None:
        row, event, _ = filed
        commands = tables.rows(COMMANDS)
        known = commands.get(id)
        if known is None:
            commands.put(_command(id, row, event))
        elif known.origin == event.source:
            commands.put(_later(known, _command(id, row, event)))
        command_row, key = (known.row if known else row), optional_text(event.data, "key")
        targets = tables.rows(TARGETS)
        for path, number, epoch in ((a.path, a.number, a.epoch) for a in event.to):
            if not self._is_below(path):
                continue
            target = targets.get(id, path) or Target(id, path)
            if target.origin not in ("", event.source):
                # A command belongs to the origin that is first seen with it.
                continue
            if target.accepted is None or event.time < target.accepted:
                target.accepted = event.time
            if _is_news(target, event, number):
                target.submitted_row, target.submitted_epoch = row, event.epoch
                target.target_epoch, target.command_row, target.key = epoch, command_row, key
                if target.epoch <= event.epoch:
                    target.origin, target.epoch, target.number = event.source, event.epoch, number
                    target.checksum = event.checksum
            targets.put(target)

    def _covered(self, tables: Tables, event: Entry, cover: Covering) -> None:
        if not self._is_below(cover.path):
            return
        targets = tables.rows(TARGETS)
        target = targets.get(cover.command, cover.path) or Target(cover.command, cover.path)
        if target.epoch < event.epoch and target.origin in ("", event.source):
            # The body may never come: its tombstone says all that is left to know.
            target.origin, target.epoch, target.number = event.source, event.epoch, cover.number
            target.checksum = cover.checksum
        if target.origin == event.source and target.withdrawn != "cancelled":
            target.withdrawn = "cancelled" if event.type == CANCEL else "superseded"
        targets.put(target)


def _command(id: str, row: int, event: Entry) -> Command:
    data = event.data
    count, do = data.get("count"), data.get("do")
    # By place: by name takes three times as long.
    return Command(
        id,
        row,
        event.source,
        event.epoch,
        text(data, "selector"),
        msgpack.packb(do if isinstance(do, Mapping) else {}),
        text(data, "digest"),
        count if isinstance(count, int) else len(event.to),
        event.actor,
        optional_text(data, "key"),
        optional_text(data, "lane"),
        event.time,
        event.expiresat,
    )


def _later(known: Command, other: Command) -> Command:
    """Of two events of one command: what the later life says, with the time of the first."""
    submitted = min(known.submitted, other.submitted)
    command = other if known.epoch < other.epoch else known
    command.row, command.submitted = known.row, submitted
    return command


def _is_news(target: Target, event: Entry, number: int) -> bool:
    """Of several bodies the one of the origin's latest life counts, and in one life the first."""
    if target.submitted_epoch == event.epoch == target.epoch:
        return number < target.number
    return target.submitted_epoch < event.epoch


def _waypoints(tables: Tables, event: Entry) -> None:
    waypoints = tables.rows(WAYPOINTS)
    ids = event.data.get("commands")
    for id in ids if isinstance(ids, (list, tuple)) else ():
        known = waypoints.get(id, event.source) if isinstance(id, str) else None
        if isinstance(id, str) and (known is None or event.time < known.time):
            waypoints.put(Waypoint(id, event.source, event.time))


def _reported(targets: Rows[Target], command: str, filed: Filed) -> None:
    event = filed.event
    target = targets.get(command, event.source) or Target(command, event.source)
    if event.type == RECEIVED:
        _received(target, event)
    elif event.type == STARTED:
        target.started = min(target.started or event.time, event.time)
        _advance(target, "started")
    else:
        _final(target, filed)
    targets.put(target)


def _received(target: Target, event: Entry) -> None:
    place = (event.epoch, event.seq or 0)
    if target.received is None or place < target.received_at:
        target.received, (target.received_epoch, target.received_seq) = event.time, place
    _advance(target, "received")


def _advance(target: Target, state: str) -> None:
    if target.phase <= RUNNING and target.state != "started":
        target.state, target.phase = state, RUNNING


def _final(target: Target, filed: Filed) -> None:
    row, event, stored_at = filed
    state = FINALS[event.type]
    phase = _PHASES.get(state, SETTLED)
    place = (event.epoch, event.seq or 0)
    there = (target.state in WITHDRAWN, target.final_epoch or "", target.final_seq or 0)
    earlier = (state in WITHDRAWN, *place) < there
    if phase > target.phase or (phase == target.phase and earlier):
        target.state, target.phase = state, phase
        target.final_row, (target.final_epoch, target.final_seq) = row, place
        target.executed, target.observed = event.time, stored_at

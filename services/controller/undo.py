"""Undo: for each target of an apply or delete, the commands that bring back what was there before it.

What was there the log tells: the changes that the target told of each object form a chain, with the command that led
to each. Where the chain does not say it, or another command came in between, undo says so and does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bus.event import Event
from services.controller.delivery.submission import OPEN
from services.controller.history import MOST, Lost, Past, changes_of
from services.tier.objects import objects_in
from store.api import CommandRow, ObjectRow, Reader, TargetRow

#: The verbs that can be undone.
VERBS = ("apply", "delete")
#: What a target says of an object on which a command had no effect.
_NO_EFFECT = ("unchanged", "absent")
#: Commands that change no object.
_READING = ("get", "list")
#: What the API server writes, and a manifest need not say.
_SERVERS = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
LOST = "unknown what it was: the log no longer tells"
#: Later commands that are looked at for each target.
_LATER = 200


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done to one object: `apply` this manifest, or `delete` the object that it names."""

    verb: str
    manifest: Mapping[str, Any]


@dataclass(slots=True)
class Plan:
    """What undo does at one target: its `steps`; nothing, with the reason; or nothing because it is `refused`."""

    target: str
    steps: list[Step] = field(default_factory=list)
    refused: bool = False
    reasons: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """`refused`, `undo`, or `nothing` to do."""
        return "refused" if self.refused else "undo" if self.steps else "nothing"


class _Refused(Exception):
    """Why an object is not brought back."""


def plan(reader: Reader[Event], command: CommandRow, target: TargetRow, *, force: bool = False) -> Plan:
    """What undo of this command does at this target."""
    made = Plan(target.target)
    if target.state in OPEN:
        return _refused(made, "it has not been done there yet: cancel it")
    if target.state == "in-doubt":
        return _refused(made, "nobody knows whether it was done there: resolve it first")
    if target.state != "succeeded":
        made.reasons.append(f"it had no effect there: {target.state}")
        return made
    names = _touched(command, target)
    later = _later(reader, command, target.target)
    for name, outcome in names.items():
        try:
            step = _step(reader, command.id, target.target, name, outcome, later, force)
        except _Refused as why:
            made.refused = made.refused or not force
            made.reasons.append(f"{name}: {why}")
        else:
            made.steps += [step] if step else []
    if made.refused:
        made.steps.clear()
    elif not made.steps and not made.reasons:
        made.reasons.append("all is there as it was before")
    return made


def _refused(made: Plan, why: str) -> Plan:
    made.refused = True
    made.reasons.append(why)
    return made


def _touched(command: CommandRow, target: TargetRow) -> dict[str, str | None]:
    """The objects on which the command had, or may have had, an effect, each with what the target said of it."""
    said = target.result.get("objects") if isinstance(target.result, Mapping) else None
    if isinstance(said, list) and all(isinstance(one, Mapping) for one in said):
        found = {name: one.get("result") for one in said for name in objects_in(_naming(one)) or ()}
    else:
        args = command.do.get("args") or {}
        found = {name: None for name in sorted(objects_in(args) or ())}
    return {name: outcome for name, outcome in found.items() if outcome not in _NO_EFFECT}


def _naming(one: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": one.get("kind"), "name": one.get("name"), "namespace": one.get("namespace")}


def _later(reader: Reader[Event], command: CommandRow, target: str) -> dict[str, tuple[str, bool]]:
    """For each object that commands to this target touch that came after this one: such a command, and whether it is
    over."""
    found: dict[str, tuple[str, bool]] = {}
    for row in reader.commands(target=target, limit=_LATER):
        if row.id == command.id:
            break
        at = reader.target(row.id, target)
        if at is None or row.do.get("verb") in _READING or at.state not in (*OPEN, "succeeded", "in-doubt"):
            continue
        found.update((name, (row.id, at.state not in OPEN)) for name in _touched(row, at))
    return found


def _step(
    reader: Reader[Event],
    command: str,
    target: str,
    name: str,
    outcome: str | None,
    later: Mapping[str, tuple[str, bool]],
    force: bool,
) -> Step | None:
    chains = [_Chain(reader, row, command) for row in _rows(reader, target, name)]
    mine = [chain for chain in chains if chain.own]
    if not mine and any(chain.lost for chain in chains):
        raise _Refused(LOST)
    if not mine:
        raise _Refused("unknown what it was: the cluster has not told that this command changed it")
    if len(mine) > 1:
        raise _Refused("unknown what it was: it is in several API groups")
    [chain] = mine
    if not force and (other := later.get(name)):
        raise _Refused(_others(*other))
    if not force and chain.others:
        raise _Refused(_others(chain.others[-1], True))
    return chain.step(outcome)


def _others(command: str, over: bool) -> str:
    return f"changed since by command {command}" if over else f"command {command} is on its way to it"


def _rows(reader: Reader[Event], target: str, name: str) -> Iterator[ObjectRow]:
    kind, namespace, own = name.split("/", 2)
    for row in reader.observed(target, kind=kind, name=own, gone=True, limit=MOST):
        if not namespace or row.namespace in (namespace, ""):
            yield row


class _Chain:
    """The changes of one object: what this command did, what others did after it, what was before."""

    def __init__(self, reader: Reader[Event], row: ObjectRow, command: str) -> None:
        self.row = row
        self.own = False
        self.others: list[str] = []
        self._before: Past | None = None
        self.lost = False
        try:
            for _, past in zip(range(MOST), changes_of(reader, row), strict=False):
                by = past.change.command
                if by == command:
                    self.own = True
                elif self.own:
                    self._before = past
                    return
                elif by is not None:
                    self.others.append(by)
        except Lost:
            self.lost = True

    def step(self, outcome: str | None) -> Step | None:
        """What brings back what was before; None if it is there."""
        before = self._before
        if self.lost:
            raise _Refused(LOST)
        if before is not None and before.there:
            if before.object is None:
                raise _Refused("unknown what it was: it is too large to be told")
            if not self.row.gone and self.row.digest == before.change.digest:
                return None
            return Step("apply", _manifest(before.object))
        if before is None and outcome not in (None, "created"):
            raise _Refused("unknown what it was: it was there before the cluster told of it")
        return None if self.row.gone else Step("delete", _named(self.row))


def _named(row: ObjectRow) -> dict[str, Any]:
    metadata = {"name": row.name} | ({"namespace": row.namespace} if row.namespace else {})
    return {"apiVersion": row.api_version, "kind": row.kind, "metadata": metadata}


def _manifest(object: Mapping[str, Any]) -> dict[str, Any]:
    """The object as one would apply it: without what the server says of it."""
    metadata = {name: part for name, part in object["metadata"].items() if name not in _SERVERS}
    return {**{name: part for name, part in object.items() if name != "status"}, "metadata": metadata}


def orders(command: CommandRow, plan: Plan) -> list[dict[str, Any]]:
    """The commands that carry out a plan: what comes back first, then what goes."""
    do = {"shim": command.do["shim"]} if command.do.get("shim") else {}
    manager = (command.do.get("args") or {}).get("fieldManager") if command.do.get("verb") == "apply" else None
    out: list[dict[str, Any]] = []
    for verb, more in (("apply", {"fieldManager": manager} if manager else {}), ("delete", {"ignoreNotFound": True})):
        manifests = [dict(step.manifest) for step in plan.steps if step.verb == verb]
        if verb == "delete":
            manifests.reverse()
        if manifests:
            out.append({**do, "verb": verb, "args": {"manifests": manifests, **more}})
    return out

"""What the local API says of commands and clusters: rows of the log in the shapes of `bus.messages`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bus.event import Event, now
from services.controller.delivery.submission import Order
from services.controller.tracker import Progress, error_in
from store.api import CommandRow, TargetRow


def progress_of(row: TargetRow, expiresat: str | None = None) -> Progress:
    """One target as the log knows it. What the target has not said yet, the state says as the origin
    expects it: a withdrawal on its way, or a time to live that is over."""
    times = {name: getattr(row, name) for name in ("accepted", "delivered", "started", "executed", "observed")}
    receipts: dict[str, Any] = {name: time for name, time in times.items() if time is not None}
    if row.stored:
        receipts["stored"] = dict(row.stored)
    progress = Progress(row.number, row.state, receipts, row.result, error_in(row.error))
    if progress.final:
        return progress
    if expiresat is not None and expiresat < now():
        progress.state = "overdue"
    if row.withdrawn:
        progress.state = {"cancelled": "cancelling", "superseded": "superseding"}[row.withdrawn]
    return progress


def accepted(events: Sequence[Event]) -> dict[str, Progress]:
    """The targets of a command that was submitted just now."""
    return {to.path: Progress(to.number, receipts={"accepted": event.time}) for event in events for to in event.to}


def fresh(order: Order, events: Sequence[Event], targets: Mapping[str, Progress], limit: int) -> dict[str, Any]:
    """A command that was submitted just now, with what was seen of it since."""
    head = {
        "id": order.id,
        "to": order.selector,
        "do": dict(order.do),
        "actor": order.actor,
        "submitted": events[0].time,
    }
    summary = Counter(progress.state for progress in targets.values())
    return _with_targets(head, {path: targets[path] for path in sorted(targets)}, dict(summary), limit)


def command(
    row: CommandRow, targets: Sequence[TargetRow], summary: Mapping[str, int], limit: int, after: str = ""
) -> dict[str, Any]:
    """A command as the log knows it; `targets` has one more than the limit if there are more. A summary
    of all targets agrees with what is said of each; of several pages the log counts the states."""
    found = {target.target: progress_of(target, row.expiresat) for target in targets}
    if not after and len(found) <= limit:
        summary = Counter(progress.state for progress in found.values())
    return _with_targets(head(row), found, summary, limit)


def head(row: CommandRow) -> dict[str, Any]:
    """The command itself."""
    out = {"id": row.id, "to": row.selector, "do": dict(row.do), "actor": row.actor, "submitted": row.submitted}
    out.update((k, v) for k, v in (("key", row.key), ("lane", row.lane), ("expiresat", row.expiresat)) if v)
    return out


def _with_targets(
    head: dict[str, Any], targets: Mapping[str, Progress], summary: Mapping[str, int], limit: int
) -> dict[str, Any]:
    listed = list(targets)[:limit]
    out = {**head, "targets": {path: targets[path].answer() for path in listed}, "summary": dict(summary)}
    if len(targets) > limit:
        out["next"] = listed[-1]
    return out

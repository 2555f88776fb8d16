"""What a tier tells Prometheus of its log: read in one moment of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bus.event import Event, parse_time
from bus.types import FINALS
from services.controller import lag
from services.controller.families import Families
from store.api import Reader

STATES = ("accepted", "received", "started", *FINALS.values())


@dataclass(slots=True)
class Behind:
    """What waits for a child and those below it, since when, and how many of their events are not here."""

    waiting: int = 0
    oldest: str | None = None
    unseen: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """One moment of the log: the number of its last row, its counts, since when the oldest mail waits, and how
    far each child is behind."""

    at: datetime
    rows: int
    counts: Mapping[str, Any]
    oldest: str | None
    behind: Mapping[str, Behind]


def view(reader: Reader[Event], me: str, heard: Mapping[str, lag.Heard]) -> View:
    """The log of the tier `me`, whose children were heard."""
    behind: dict[str, Behind] = {}
    waiting = reader.waiting()
    for path, (count, since) in waiting.items():
        if path != me:
            child = behind.setdefault(_child(me, path), Behind())
            child.waiting += count
            child.oldest = min(child.oldest or since, since)
    for path, count in lag.unseen(reader, me, heard).items():
        behind.setdefault(_child(me, path), Behind()).unseen += count
    oldest = min((since for _, since in waiting.values()), default=None)
    return View(datetime.now(UTC), reader.last_row(), reader.counts(), oldest, behind)


def _child(me: str, path: str) -> str:
    """The child at or above the path."""
    return f"{me}.{path[len(me) + 1 :].split('.', 1)[0]}"


def _age(since: str | None, at: datetime) -> float:
    """Seconds, by this tier's clock; 0 if there is nothing."""
    return max((at - parse_time(since)).total_seconds(), 0.0) if since else 0.0


def tell_log(out: Families, view: View) -> None:
    """Size, commands, and what waits."""
    targets = {state: float(view.counts["targets"].get(state, 0)) for state in STATES}
    out.gauge("ote_commands", "Commands that this tier knows.", view.counts["commands"])
    out.gauge("ote_command_targets", "Commands at each of their targets at or below this tier.", targets, "state")
    out.gauge(
        "ote_undelivered_age_seconds", "Age of the oldest command that was not received.", _age(view.oldest, view.at)
    )
    out.counter("ote_log_appended_events", "Events that this log has ever stored.", view.rows)
    out.gauge("ote_log_events", "Events in the log.", view.counts["events"])
    out.gauge("ote_log_bytes", "Size of the log's files.", view.counts["bytes"])


def tell_lag(out: Families, behind: Mapping[str, Behind], at: datetime) -> None:
    """How far these children are behind."""
    events = {(path, "down"): float(child.waiting) for path, child in behind.items()}
    events |= {(path, "up"): float(child.unseen) for path, child in behind.items()}
    words = "Down: commands that wait for this child or those below it. Up: their events that are not here."
    out.gauge("ote_child_lag_events", words, events, "child", "direction")
    ages = {path: _age(child.oldest, at) for path, child in behind.items()}
    out.gauge("ote_child_lag_seconds", "Age of the oldest command that was not received there.", ages, "child")

"""The tables that the demo shows beside those of the other commands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from services.cli.ages import since, took
from services.cli.render import Cell, counts, styled, table

Targets = Mapping[str, Mapping[str, Any]]
NONE = "-"


def receipts(targets: Targets) -> Text:
    """How long each step of a command took, at each target."""
    rows: list[list[Cell]] = []
    for path, target in sorted(targets.items()):
        times = target["receipts"]
        start = times["accepted"]
        way = sorted((times.get("stored") or {}).items(), key=lambda one: one[0].count("."))
        stored = ", ".join(f"{tier.rpartition('.')[2]} {took(start, time)}" for tier, time in way)
        steps = [took(start, times.get(name)) for name in ("delivered", "executed", "observed")]
        objects = Counter(one["result"] for one in (target.get("result") or {}).get("objects", ()))
        rows.append([path, styled(target["state"]), stored or NONE, *steps, counts(objects)])
    return table(["TARGET", "STATE", "STORED AT", "DELIVERED", "EXECUTED", "KNOWN HERE", "OBJECTS"], rows)


def undelivered(status: Mapping[str, Any], now: datetime) -> Text:
    """What a tier waits for, on one line."""
    oldest = min((one["since"] for one in status["commands"]["oldest"]), default=None)
    away = status["clusters"]["offline"]
    waiting = status["backlog"]["undelivered"]
    return Text(f"{len(away)} offline; {waiting} undelivered, the oldest for {since(oldest, now)}")


def original_times(targets: Targets) -> Text:
    """When commands were executed, and when that became known here."""
    rows: list[list[Cell]] = [
        [path, styled(target["state"]), *(target["receipts"].get(name) or NONE for name in ("executed", "observed"))]
        for path, target in sorted(targets.items())
    ]
    return table(["TARGET", "STATE", "EXECUTED", "KNOWN AT THE ROOT"], rows)

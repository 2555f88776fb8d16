"""Clusters as a table and as a tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.text import Text

from services.cli.ages import since
from services.cli.render import Cell, count_of, safe, styled, table, tree

Cluster = Mapping[str, Any]

NONE = "-"


def cluster_table(rows: Sequence[Cluster], now: datetime, *, wide: bool = False) -> Text:
    """One cluster a line."""
    titles = ["PATH", "STATE", "TAGS", "BEHIND", "SEEN"] + ["SHIMS", "PARENT", "ATTACHED TO"] * wide
    return table(titles, [_cells(row, now, wide) for row in rows])


def _cells(row: Cluster, now: datetime, wide: bool) -> list[Cell]:
    cells: list[Cell] = [row["path"], styled(row["state"]), _tags(row), _lag(row), since(row.get("last_seen"), now)]
    if wide:
        cells += [_shims(row), row.get("parent") or NONE, row.get("attached_to") or NONE]
    return cells


def cluster_tree(rows: Sequence[Cluster], now: datetime) -> Text:
    """The tree of the paths; on each its tags, and what is not as it should be."""
    return tree({row["path"]: _leaf(row, now) for row in rows})


def _leaf(row: Cluster, now: datetime) -> Text:
    parts: list[Text] = []
    if row["tags"]:
        parts.append(Text(_tags(row), style="cyan"))
    if row["state"] != "online":
        parts.append(styled(row["state"]).append(f" {since(row.get('last_seen'), now)}"))
    if (lag := _lag(row)) != NONE:
        parts.append(Text(f"behind {lag}", style="yellow"))
    if row.get("attached_to") and row["attached_to"] != row.get("parent"):
        parts.append(Text(f"at {safe(row['attached_to'])}", style="yellow"))
    return Text("  ").join(parts)


def _tags(row: Cluster) -> str:
    return safe(" ".join(row["tags"])) or NONE


def _shims(row: Cluster) -> str:
    return safe(",".join(row["shims"])) or NONE


def _lag(row: Cluster) -> str:
    lag = row.get("lag") or {}
    events, seconds = lag.get("events") or 0, lag.get("seconds") or 0
    return f"{count_of(events, 'event')} / {seconds:.0f} s" if events else NONE

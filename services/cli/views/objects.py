"""Objects of clusters, one a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.text import Text

from services.cli.ages import since
from services.cli.render import Cell, safe, styled, table

Object = Mapping[str, Any]

NONE = "-"


def object_table(rows: Sequence[Object], now: datetime, *, wide: bool = False) -> Text:
    """One object a line: since when it is so, and of a cluster that is away how old that knowledge is."""
    titles = ["CLUSTER", "KIND", "NAMESPACE", "NAME", "STATUS", "SINCE", "KNOWN"]
    titles += ["API VERSION", "SHIM", "COMMAND"] * wide
    return table(titles, [_cells(row, now, wide) for row in rows])


def _cells(row: Object, now: datetime, wide: bool) -> list[Cell]:
    cells: list[Cell] = [row["cluster"], row["kind"], row["namespace"] or NONE, row["name"]]
    cells += [status_of(row["object"]), since(row["since"], now), _known(row, now)]
    if wide:
        cells += [row["apiVersion"] or NONE, row["shim"], row.get("command") or NONE]
    return cells


def _known(row: Object, now: datetime) -> Cell:
    if row["state"] == "online":
        return "now"
    return styled(row["state"]).append(f" {since(row.get('seen'), now)}")


def status_of(object: Mapping[str, Any]) -> str:
    """`Running`, `2/3 ready`; `-` for what has none."""
    if object.get("truncated"):
        return "too large"
    status, spec = object.get("status"), object.get("spec")
    if not isinstance(status, Mapping):
        return NONE
    if isinstance(phase := status.get("phase"), str):
        return safe(phase)
    wanted = spec.get("replicas") if isinstance(spec, Mapping) else None
    if wanted is None and "readyReplicas" not in status:
        return NONE
    return f"{safe(status.get('readyReplicas') or 0)}/{safe(1 if wanted is None else wanted)} ready"


def object_name(row: Object) -> str:
    """`CLUSTER/KIND/NAMESPACE/NAME`, without the namespace where there is none."""
    return "/".join(part for part in (row["cluster"], row["kind"], row["namespace"], row["name"]) if part)

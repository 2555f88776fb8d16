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
    # Last, for it is long.
    says = any(row["kind"] == "Event" for row in rows)
    titles += ["MESSAGE"] * says
    return table(titles, [_cells(row, now, wide) + [_message(row["object"])] * says for row in rows])


def _message(object: Mapping[str, Any]) -> Cell:
    return str(object.get("message") or NONE)


def _cells(row: Object, now: datetime, wide: bool) -> list[Cell]:
    cells: list[Cell] = [row["cluster"], row["kind"], row["namespace"] or NONE, row["name"]]
    cells += [status_of(row["object"]), since(row["since"], now), _known(row, now)]
    if wide:
        cells += [row["apiVersion"] or NONE, row["shim"], row.get("command") or NONE]
    return cells


def _known(row: Object, now: datetime) -> Cell:
    if row["state"] == "online":
        return "now"
    return _known_text(row, now)


def status_of(object: Mapping[str, Any]) -> str:
    """`Running`, `2/3 ready`, `3x FailedScheduling` of an Event; `-` for what has none."""
    if object.get("truncated"):
        return "too large"
    if object.get("kind") == "Event" and object.get("reason"):
        count = object.get("count")
        return safe(f"{count}x {object['reason']}" if count else object["reason"])
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


def explained(rows: Sequence[Object], now: datetime) -> Text:
    """Each object with its changes, and the command behind each: from now back to who sent it."""
    return Text("\n\n").join([_explained(row, now) for row in rows])


def _explained(row: Object, now: datetime) -> Text:
    head = Text(safe(object_name({**row, "cluster": ""})), style="bold").append(f" at {safe(row['cluster'])}", style="")
    if row["state"] != "online":
        head.append(", ").append_text(_known_text(row, now))
    lines = [head]
    for change in row["changes"]:
        became = "gone" if change["gone"] else "so"
        lines.append(
            _line(1, f"{became} since {change['time']} ({since(change['time'], now)} ago)", f"event {change['event']}")
        )
        lines += _cause(change.get("command"), now)
    if row["lost"]:
        lines.append(_line(1, "the log does not tell what was before", ""))
    return Text("\n").join(lines)


def _known_text(row: Object, now: datetime) -> Text:
    return styled(row["state"]).append(f" {since(row.get('seen'), now)}")


def _cause(command: Mapping[str, Any] | None, now: datetime) -> list[Text]:
    if command is None:
        return [_line(2, "no command led to it: it changed at the cluster itself", "")]
    receipts = command.get("receipts") or {}
    lines = [
        _line(2, f"{command.get('state', 'done')} {receipts.get('executed', '')}".rstrip(), f"command {command['id']}")
    ]
    if delivered := receipts.get("delivered"):
        lines.append(_line(3, f"received {delivered}", ""))
    for tier, time in sorted((receipts.get("stored") or {}).items(), reverse=True):
        lines.append(_line(3, f"stored at {tier} {time}", ""))
    if not command.get("submitted"):
        return [*lines, _line(3, "this tier does not know the command", "")]
    who = command.get("actor") or "somebody who gave no name"
    asked = f"{command['verb']} to {command['to']}"
    return [*lines, _line(3, f"submitted {command['submitted']} at {command['origin']} by {who}: {asked}", "")]


def _line(depth: int, what: str, beside: str) -> Text:
    line = Text("  " * depth + safe(what))
    return line.append(f"   {safe(beside)}", style="dim") if beside else line

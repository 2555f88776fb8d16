"""How a tier is doing: itself, its links, and lists of what is offline, undelivered and in doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.text import Text

from services.cli.ages import age, since
from services.cli.render import Cell, counts, pairs, safe, size, styled, table

Answer = Mapping[str, Any]

SHOWN = 20
"""So many rows of what is offline: the first screen says where to look."""
BEHIND = "behind "
"""How the reason of a cluster begins that is away because another is."""


def tier_status(answer: Answer, now: datetime) -> Text:
    """A few lines, then a list of each trouble that there is."""
    log, clusters, commands = answer["log"], answer["clusters"], answer["commands"]
    rows: list[tuple[str, Cell]] = [
        ("tier", f"{answer['path']}  version {answer['version']}, up {age(answer['uptime'])}, epoch {answer['epoch']}"),
        ("parent", _parent(answer["link"], now)),
        ("clusters", f"{clusters['online']} online, {clusters.get('away', len(clusters['offline']))} offline"),
        ("commands", f"{commands['open']} open, {commands.get('doubts', len(commands['in_doubt']))} in doubt"),
        ("backlog", counts(answer["backlog"])),
        ("log", f"{log['events']:,} events, {size(log['bytes'])}; {size(log['free_bytes'])} free on disk{_worth(log)}"),
    ]
    if answer.get("metrics"):
        rows.append(("metrics", answer["metrics"]))
    if log.get("oldest"):
        rows.append(("history", f"the oldest event is {since(log['oldest'], now)} old{_reclaimable(log)}"))
    if log.get("trouble"):
        rows.append(("trouble", f"no commands are accepted: {log['trouble']}"))
    if log.get("waits"):
        rows.append(("waits", "the log was lost: nothing is executed until an ancestor gives back what it has of it"))
    return Text("\n\n").join([pairs(rows), *_troubles(clusters, commands, now)])


def _reclaimable(log: Answer) -> str:
    """What new events will fill before the file grows."""
    free = log.get("reclaimable", 0)
    return f"; {size(free)} of the file are free for new ones" if free else ""


def _worth(log: Answer) -> str:
    """What a commit of this tier survives, where it has said so."""
    if (chosen := log.get("synchronous")) is None:
        return ""
    what = "commits survive a power cut" if chosen == "FULL" else "commits may be lost when power fails"
    return f"; {what} ({chosen})"


def _parent(link: Answer, now: datetime) -> Cell:
    if not link.get("parent"):
        return "none, this is a root"
    return Text.assemble(f"{safe(link['parent'])}  ", styled(link["state"]), f" {since(link.get('since'), now)}")


def _offline(away: Sequence[Answer], now: datetime) -> list[list[Cell]]:
    """Where the tree is broken: what is only behind another that is away is counted there, not listed."""
    tops = [row for row in away if not (row.get("reason") or "").startswith(BEHIND)]
    behind = Counter(row["reason"].removeprefix(BEHIND) for row in away if (row.get("reason") or "").startswith(BEHIND))
    rows: list[list[Cell]] = [
        [row["path"], since(row["since"], now), row.get("reason") or "-", f"{behind[row['path']] or '-'}"]
        for row in tops[:SHOWN]
    ]
    more = len(tops) - SHOWN
    return rows if more <= 0 else [*rows, [f"and {more:,} more: ote get clusters", "", "", ""]]


def _troubles(clusters: Answer, commands: Answer, now: datetime) -> list[Text]:
    oldest = [
        [row["command"], row["target"], styled(row["state"]), since(row["since"], now)] for row in commands["oldest"]
    ]
    doubt = [[row["command"], row["target"], since(row["since"], now)] for row in commands["in_doubt"]]
    lists = [
        (["OFFLINE", "SINCE", "REASON", "BEHIND IT"], _offline(clusters["offline"], now)),
        (["OLDEST UNDELIVERED", "TARGET", "STATE", "SINCE"], oldest),
        (["IN DOUBT", "TARGET", "SINCE"], doubt),
    ]
    return [table(titles, rows) for titles, rows in lists if rows]

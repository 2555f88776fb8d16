"""Text for people: tables, trees and safe cells. Pure: what is given in, lines come out.

Tables are plain columns without borders, never cut to a width: they survive pipes, `grep` and `awk`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.text import Text

Cell = str | Text

#: How each state looks; the others are plain.
STYLES = {
    "online": "green",
    "succeeded": "green",
    "offline": "red",
    "overdue": "yellow",
    "superseding": "yellow",
    "cancelling": "yellow",
    "failed": "bold red",
    "refused": "bold red",
    "in-doubt": "bold magenta",
    "expired": "yellow",
    "superseded": "dim",
    "cancelled": "dim",
    "started": "cyan",
    "received": "cyan",
    "accepted": "yellow",
}

GAP = "   "


def safe(value: object) -> str:
    """Text from anywhere, on one line and without control characters: names and errors come from other
    clusters, and must not steer this terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in str(value))


def styled(state: str) -> Text:
    """A state in its colour."""
    return Text(safe(state), style=STYLES.get(state, ""))


def table(titles: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Text:
    """Columns under titles, as wide as their widest cell. Only the titles if there is no row."""
    cells = [[Text(title, style="bold") for title in titles]]
    cells += [[cell if isinstance(cell, Text) else Text(safe(cell)) for cell in row] for row in rows]
    widths = [max(cell_len(row[column].plain) for row in cells) for column in range(len(titles))]
    return Text("\n").join(_line(row, widths) for row in cells)


def _line(row: Sequence[Text], widths: Sequence[int]) -> Text:
    line = Text()
    for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
        line.append_text(cell)
        if index < len(row) - 1:
            line.append(" " * (width - cell_len(cell.plain)) + GAP)
    return line


def pairs(rows: Sequence[tuple[str, Cell]]) -> Text:
    """Names and values, one a line, the values in a column."""
    width = max(len(name) for name, _ in rows) + 1
    lines = [
        Text.assemble((f"{name}:".ljust(width), "bold"), " ", value if isinstance(value, Text) else safe(value))
        for name, value in rows
    ]
    return Text("\n").join(lines)


def tree(labels: Mapping[str, Cell]) -> Text:
    """Labels by path, drawn as the tree that the paths make. A node that others hang on and that has no label
    of its own is shown by its name alone; tops that have nothing above them in `labels` keep their whole path."""
    children: dict[str, set[str]] = {}
    tops = {path for path in labels if not any(above in labels for above in _above(path))}
    for path in labels:
        while path not in tops:
            parent = path.rpartition(".")[0]
            children.setdefault(parent, set()).add(path)
            path = parent
    return Text("\n").join(line for top in sorted(tops) for line in _branch(top, top, "", "", labels, children))


def _branch(
    path: str, name: str, first: str, rest: str, labels: Mapping[str, Cell], children: Mapping[str, set[str]]
) -> Iterator[Text]:
    line = Text(first).append(safe(name), style="" if path in labels else "dim")
    label = labels.get(path, "")
    if label:
        line.append("  ").append_text(label if isinstance(label, Text) else Text(safe(label)))
    yield line
    below = sorted(children.get(path, ()))
    for child in below:
        last = child == below[-1]
        yield from _branch(
            child,
            child.rpartition(".")[2],
            rest + ("└─ " if last else "├─ "),
            rest + ("   " if last else "│  "),
            labels,
            children,
        )


def _above(path: str) -> Iterator[str]:
    while "." in path:
        path = path.rpartition(".")[0]
        yield path


def counts(summary: Mapping[str, int]) -> str:
    """`3 succeeded, 1 received`: the most frequent first; `-` if there are none."""
    ordered = sorted(
        ((state, count) for state, count in summary.items() if count), key=lambda item: (-item[1], item[0])
    )
    return ", ".join(f"{count} {state}" for state, count in ordered) or "-"


def size(bytes: int | float) -> str:
    """`512 B`, `3.4 KB`, `1.2 GB`: in powers of 1000."""
    amount = float(bytes)
    for unit in ("B", "KB", "MB", "GB"):
        if abs(amount) < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def several(items: Sequence[str], most: int = 10) -> str:
    """`a, b, c and 7 more`."""
    shown = ", ".join(safe(item) for item in items[:most])
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown


def count_of(count: int, noun: str) -> str:
    """`1 cluster`, `3 clusters`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def brief(value: Any, width: int = 60) -> str:
    """A result or argument on one line, cut at `width`."""
    text = value if isinstance(value, str) else _compact(value)
    text = safe(text)
    return text if len(text) <= width else text[: width - 1] + "…"


def _compact(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return " ".join(f"{key}={_inner(inner)}" for key, inner in value.items())
    if isinstance(value, Sequence):
        return ", ".join(_inner(inner) for inner in value)
    return str(value)


def _inner(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + _compact(value) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + _compact(value) + "]"
    return str(value)

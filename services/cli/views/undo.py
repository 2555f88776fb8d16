"""What undo does, clusters with the same plan on one line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from services.cli.render import Cell, brief, count_of, safe, several, table

_STYLES = {"undo": "", "nothing": "dim", "refused": "bold red"}


def plan_table(targets: Mapping[str, Mapping[str, Any]]) -> Text:
    """`root.site1   undo   delete ConfigMap/shop/catalog`, or the reason why nothing is done."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path, target in sorted(targets.items()):
        groups[target["state"], _what(target)].append(path)
    rows: list[list[Cell]] = [
        [_who(paths), Text(state, style=_STYLES.get(state, "")), what] for (state, what), paths in groups.items()
    ]
    return table(["TARGET", "PLAN", "WHAT"], rows)


def _who(paths: list[str]) -> str:
    return safe(paths[0]) if len(paths) == 1 else f"{count_of(len(paths), 'cluster')}: {several(paths, 3)}"


def _what(target: Mapping[str, Any]) -> str:
    steps = [f"{step['verb']} {_name(step['manifest'])}" for step in target["steps"]]
    return brief("; ".join([*steps, *target["reasons"]]) or "-", 200)


def _name(manifest: Mapping[str, Any]) -> str:
    metadata = manifest["metadata"]
    return "/".join(str(part) for part in (manifest["kind"], metadata.get("namespace"), metadata["name"]) if part)

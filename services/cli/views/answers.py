"""Answers to a live query, one cluster a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from services.cli.render import Cell, brief, table
from services.cli.views.commands import outcome


def answer_table(answer: Mapping[str, Any]) -> Text:
    """Who answered what, and who did not, with the reason."""
    said: dict[str, list[Cell]] = {path: [path, *_cells(one)] for path, one in answer["answers"].items()}
    silent: dict[str, list[Cell]] = {
        path: [path, Text("no answer", style="yellow"), why] for path, why in answer["missing"].items()
    }
    return table(["CLUSTER", "ANSWER", "RESULT"], [row for _, row in sorted((said | silent).items())])


def _cells(one: Mapping[str, Any]) -> list[Cell]:
    if one["ok"]:
        return [Text("ok", style="green"), outcome(one.get("result"))]
    error = one.get("error") or {}
    return [Text("failed", style="bold red"), brief(f"{error.get('code')}: {error.get('message')}", 160)]

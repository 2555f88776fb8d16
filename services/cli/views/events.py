"""Events of the log, one a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from services.cli.render import brief, safe
from services.cli.views.commands import doing

Event = Mapping[str, Any]


def event_line(event: Event, *, wide: bool = False) -> Text:
    """A CloudEvent: its time, its source, its type and what it is about."""
    line = Text.assemble(
        (safe(event["time"]), "dim"),
        f"  {safe(event['source'])}  ",
        (safe(event["type"]).removeprefix("ote."), "cyan"),
        f"  {_about(event)}",
    )
    if wide:
        line.append(f"  id={safe(event['id'])} epoch={safe(event['epoch'])} seq={event.get('seq', '-')}")
    return line


def _about(event: Event) -> str:
    data = event.get("data") or {}
    if isinstance(data.get("do"), Mapping) and "verb" in data["do"]:
        return brief(f"{data.get('command')}  {doing(data['do'])}  to {data.get('selector', '-')}", 140)
    return brief(data, 120)

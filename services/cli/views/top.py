"""A tier and its tree at one glance, for `ote top`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from services.cli.render import safe, size
from services.cli.views.clusters import cluster_tree
from services.cli.views.status import tier_status

Sample = Mapping[str, Any]


def picture(sample: Sample, now: datetime) -> Text:
    """`sample` is {"time", "status", "tree", "rates"?, "trouble"?}."""
    parts = [_head(sample), tier_status(sample["status"], now), cluster_tree(sample["tree"], now)]
    return Text("\n\n").join(parts)


def _head(sample: Sample) -> Text:
    head = Text(f"{sample['time'][11:19]}Z", style="bold")
    if rates := sample.get("rates"):
        head.append(f"   {rates['events']:,.1f} events/s   {size(rates['bytes'])}/s", style="cyan")
    if trouble := sample.get("trouble"):
        head.append(f"   no answer: {safe(trouble)}", style="bold red")
    return head

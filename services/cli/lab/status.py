"""What of a lab runs, and how its links are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.text import Text

from services.cli.lab.lab import Lab
from services.cli.lab.tiers import TierProcess
from services.cli.render import Cell, styled, table

NONE = "-"


@dataclass(frozen=True, slots=True)
class TierStatus:
    """One tier: `state` is up, starting, killed (its server still routes) or down; `link`, that to its parent,
    up, cut, hang or broken, None at the root. `metrics` is for Prometheus, `log` is its event log, `output` what it
    printed."""

    state: str
    link: str | None
    nats: str | None
    metrics: str | None
    pids: list[int]
    log: str
    output: str


def status(lab: Lab) -> dict[str, TierStatus]:
    """By path, parents first."""
    links = lab.wiring.states()
    return {path: _status(tier, links.get(path) or "broken") for path, tier in lab.tiers.items()}


def _status(tier: TierProcess, link: str) -> TierStatus:
    info = tier.info()
    return TierStatus(
        state=_state(tier),
        link=link if tier.tier.parent else None,
        nats=info.nats if info else None,
        metrics=info.metrics if info else None,
        pids=tier.pids(),
        log=str(tier.log),
        output=str(tier.output),
    )


def _state(tier: TierProcess) -> str:
    process, info = tier.process(), tier.info()
    if process is None:
        return "killed" if tier.server() is not None else "down"
    return "up" if info is not None and info.pid == process.pid else "starting"


def as_data(found: dict[str, TierStatus]) -> dict[str, Any]:
    """`{"tiers": {PATH: {...}}}`."""
    return {"tiers": {path: asdict(tier) for path, tier in found.items()}}


def as_table(found: dict[str, TierStatus]) -> Text:
    """One tier a line."""
    rows: list[list[Cell]] = [
        [
            path,
            styled(tier.state),
            styled(tier.link or NONE),
            " ".join(map(str, tier.pids)) or NONE,
            tier.metrics or NONE,
            tier.output,
        ]
        for path, tier in found.items()
    ]
    return table(["TIER", "STATE", "LINK", "PIDS", "METRICS", "LOG FILE"], rows)

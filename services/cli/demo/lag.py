"""How far the tiers of the lab are apart, as they say it themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from rich.text import Text

from services.cli.demo.origins import Origin
from services.cli.render import Cell, count_of, styled, table


@dataclass(frozen=True, slots=True)
class Behind:
    """One cluster: what was sent to it and is not there, or was said by it and is not here."""

    state: str
    events: int
    seconds: float

    def or_worse(self, other: Behind | None) -> Behind:
        """The worse of two views."""
        if other is None:
            return self
        state = self.state if other.state == "online" else other.state
        return Behind(state, max(self.events, other.events), max(self.seconds, other.seconds))


@dataclass(frozen=True, slots=True)
class Lag:
    """Each cluster at its worst, as any tier at or above it sees it; commands that are open, by the tier that
    waits for them; tiers that did not answer."""

    clusters: dict[str, Behind]
    open: dict[str, int]
    silent: list[str]

    @property
    def events(self) -> int:
        """All that is behind."""
        return sum(cluster.events for cluster in self.clusters.values())

    @property
    def away(self) -> int:
        """How many clusters somebody above them does not reach."""
        return sum(cluster.state != "online" for cluster in self.clusters.values())

    @property
    def none(self) -> bool:
        """Whether nothing is behind, nothing open, and nobody away."""
        return not (self.silent or self.events or self.away or any(self.open.values()))

    def text(self) -> Text:
        """A line with the sums, then every cluster."""
        line = f"{count_of(self.events, 'event')} behind, {sum(self.open.values())} open, {self.away} away"
        rows: list[list[Cell]] = [
            [path, styled(one.state), str(one.events), f"{one.seconds:.1f} s"]
            for path, one in sorted(self.clusters.items())
        ]
        return Text(line + "\n").append_text(table(["CLUSTER", "STATE", "EVENTS BEHIND", "BY"], rows))


async def look(tiers: Mapping[str, Origin]) -> Lag:
    """Asks every tier."""
    clusters: dict[str, Behind] = {}
    open: dict[str, int] = {}
    silent = []

    async def ask(path: str, tier: Origin) -> None:
        listed, status = await asyncio.gather(tier.ask("clusters"), tier.ask("status"))
        if listed is None or status is None:
            silent.append(path)
            return
        open[path] = status["commands"]["open"]
        for cluster in listed["clusters"]:
            seen = Behind(cluster["state"], cluster["lag"]["events"], cluster["lag"]["seconds"])
            clusters[cluster["path"]] = seen.or_worse(clusters.get(cluster["path"]))

    await asyncio.gather(*(ask(path, tier) for path, tier in tiers.items()))
    return Lag(clusters, open, sorted(silent))

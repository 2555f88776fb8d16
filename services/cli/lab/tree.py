"""Which tiers the lab has: a root, two regions, six sites, and a cluster below a site."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bus import paths
from bus.errors import NotFound


@dataclass(frozen=True, slots=True)
class LabTier:
    """One tier of a lab. Without `shims` it only routes."""

    path: str
    tags: tuple[str, ...] = ()
    shims: tuple[str, ...] = ()

    @property
    def parent(self) -> str | None:
        """The path of its parent; None at the root."""
        return paths.parent(self.path)


@dataclass(frozen=True, slots=True)
class Pace:
    """How soon the tiers notice things, in seconds; quicker than a tier by itself, for people who watch."""

    heartbeat: float = 0.5
    missed_heartbeats: int = 4
    sync_interval: float = 1.0


Tree = Sequence[LabTier]


def _site(path: str, *tags: str) -> LabTier:
    return LabTier(path, tags, ("local",))


TREE: Tree = (
    LabTier("root"),
    LabTier("root.east", ("region",)),
    LabTier("root.west", ("region",)),
    _site("root.east.site1", "camera", "zone=north"),
    _site("root.east.site2", "camera", "zone=south"),
    _site("root.east.site3", "edge", "zone=south"),
    _site("root.west.site4", "camera", "edge", "zone=north"),
    _site("root.west.site5", "camera", "zone=north"),
    _site("root.west.site6", "camera", "zone=south"),
    _site("root.east.site1.cell1", "camera", "edge", "zone=north"),
)


def at_or_below(tree: Iterable[LabTier], scope: str) -> list[str]:
    """The paths of the subtree `scope`, its top included."""
    return [tier.path for tier in tree if paths.is_under(tier.path, scope)]


def alternates(tree: Iterable[LabTier], path: str) -> list[str]:
    """The tiers to which this one can attach when it has lost its parent: that one's siblings, and its parent."""
    above = paths.parent(path)
    higher = paths.parent(above) if above else None
    if higher is None:
        return []
    uncles = [tier.path for tier in tree if tier.parent == higher and tier.path != above]
    return [*uncles, *([higher] if any(tier.path == higher for tier in tree) else [])]


def find(tree: Iterable[LabTier], path: str) -> LabTier:
    """The tier with this path. NotFound lists those that there are."""
    tiers = {tier.path: tier for tier in tree}
    if path not in tiers:
        raise NotFound(f"the lab has no tier {path}", field="path", hint=f"it has {', '.join(sorted(tiers))}")
    return tiers[path]

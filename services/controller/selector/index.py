"""The clusters that selectors look at, indexed by path, name and tag."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from bus.paths import name as name_of


class Candidate(NamedTuple):
    """One cluster that can be selected: its path, and its tags (`camera` is {"camera": ""})."""

    path: str
    tags: Mapping[str, str]


def tag_text(key: str, value: str) -> str:
    """A tag as people write it: `camera`, `zone=eu`."""
    return f"{key}={value}" if value else key


class Index:
    """Candidates, and what is found among them; each index is made when a selector first needs it.
    A registry that does not change between selectors can keep one."""

    def __init__(self, clusters: Iterable[Candidate]) -> None:
        self.clusters = tuple(clusters)

    @cached_property
    def paths(self) -> frozenset[str]:
        """All paths."""
        return frozenset(cluster.path for cluster in self.clusters)

    @cached_property
    def sorted(self) -> list[str]:
        """All paths in order."""
        return sorted(self.paths)

    @cached_property
    def names(self) -> dict[str, list[str]]:
        """The paths that have this name."""
        found: dict[str, list[str]] = {}
        for path in self.sorted:
            found.setdefault(name_of(path), []).append(path)
        return found

    @cached_property
    def keys(self) -> dict[str, set[str]]:
        """The paths that have a tag of this key, whatever its value."""
        found: dict[str, set[str]] = {}
        for path, tags in self.clusters:
            for key in tags:
                found.setdefault(key, set()).add(path)
        return found

    @cached_property
    def tags(self) -> dict[tuple[str, str], set[str]]:
        """The paths that have a tag of this key and value."""
        found: dict[tuple[str, str], set[str]] = {}
        for path, tags in self.clusters:
            for tag in tags.items():
                found.setdefault(tag, set()).add(path)
        return found

    def under(self, top: str) -> list[str]:
        """The paths at or below the top."""
        first, end = bisect_left(self.sorted, top + "."), bisect_left(self.sorted, top + "/")
        return [top, *self.sorted[first:end]] if top in self.paths else self.sorted[first:end]


def indexed(clusters: Sequence[Candidate] | Index) -> Index:
    """The clusters' index."""
    return clusters if isinstance(clusters, Index) else Index(clusters)


def common_tag(paths: Sequence[str], clusters: Sequence[Candidate] | Index) -> str | None:
    """The tag (`camera`, `zone=eu`) that all these paths carry and the fewest clusters have; None if
    they have none in common."""
    index = indexed(clusters)
    first = paths[0] if paths else None
    tags = [tag for tag, carriers in index.tags.items() if first in carriers and carriers.issuperset(paths)]
    return min((len(index.tags[tag]), tag_text(*tag)) for tag in tags)[1] if tags else None

"""How far what this tier holds is behind what there is below it.

A child's heartbeat says how many events of its subtree the child holds, and how far each cluster in it
is behind there. So lag adds up over the tiers: nobody has to know more than its own children.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from bus.event import Event
from bus.messages import Heartbeat
from bus.paths import is_under
from store.api import Reader

#: A heartbeat names at most so many clusters that are behind, the farthest first.
NAMED = 200


class Heard(Protocol):
    """A child, and what it said last."""

    @property
    def last(self) -> Heartbeat | None: ...


def held(reader: Reader[Event], path: str) -> int:
    """How many events of sources at or below the path are here, without a hole."""
    return sum(reader.streams(path).values())


def unseen(reader: Reader[Event], me: str, children: Mapping[str, Heard]) -> dict[str, int]:
    """For each cluster below that is behind: how many of its events are known to exist and are not here.
    What a child holds of its subtree, and this tier does not, is counted for the child."""
    # Who asks is in a reader's thread, and children come and go on the loop.
    children = dict(children)
    mine: dict[str, int] = {}
    for (source, _), n in reader.streams(me).items():
        # Up from the source, and not over all children: those are many.
        path = source
        while path:
            if path in children:
                mine[path] = mine.get(path, 0) + n
            path = path.rpartition(".")[0]
    behind: dict[str, int] = {}
    for path, child in children.items():
        if child.last is None:
            continue
        behind.update(_below(child.last.behind, path))
        if (missing := child.last.held - mine.get(path, 0)) > 0:
            behind[path] = missing
    return behind


def _below(behind: Mapping[str, int], path: str) -> Iterable[tuple[str, int]]:
    return ((below, count) for below, count in behind.items() if below != path and is_under(below, path))


def named(behind: Mapping[str, int]) -> dict[str, int]:
    """What a heartbeat says of it."""
    farthest = sorted(behind.items(), key=lambda item: -item[1])[:NAMED]
    return dict(farthest)

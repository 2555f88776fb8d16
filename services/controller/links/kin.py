"""Where a tier could attach if it lost its parent, and what it tells those below of theirs.

Every tier announces where others reach it. So each ancestor of a cluster knows which tiers are near it, and the
nearest that answers tells it: the parent as long as it lives, then those above. What was told is an event in the
tier's own log, and is there again after a restart. No address holds a login: a child dials an alternate with that of
its own parent's url.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter

from bus import paths, subjects
from bus.event import Draft
from bus.sync import Family, Relative
from bus.types import ALTERNATES
from services.controller.registry import Registry, Snapshot
from services.tier import places
from services.tier.runtime import Runtime

#: So many of a tier's siblings are named: of a thousand that are orphaned together, each neighbour takes a few.
NAMED = 8


class Kin:
    """The relatives of this tier (`family`), and of those below it."""

    def __init__(self, runtime: Runtime, registry: Registry) -> None:
        self._runtime = runtime
        self._registry = registry
        self._me = runtime.path
        self.family = Family()
        self._told: tuple[Snapshot, Family, dict[str, tuple[Family, int]]] = (registry.snapshot, self.family, {})

    async def start(self) -> None:
        """Takes up what was told before."""
        self.family = await self._runtime.log.read(places.family)

    @property
    def drained(self) -> bool:
        """Whether this tier sends away who is attached to it."""
        own = self._registry.snapshot.rows.get(self._me)
        return own is not None and own.drained

    async def learn(self, family: Family, teller: str) -> None:
        """Records what an ancestor has told of it, if that is new."""
        if family == self.family:
            return
        data = {"path": self._me, "told_by": teller, "family": family.model_dump()}
        draft = Draft(type=ALTERNATES, subject=subjects.event(ALTERNATES, self._me), data=data, shared=False)
        await self._runtime.log.write(lambda tx: tx.append(draft), aside=True)
        self.family = family

    @property
    def routes(self) -> dict[str, places.Route]:
        """The ways up, by their places, in the order in which they are tried: those that let this tier in."""
        ways = places.routes(self._runtime.settings, self.family)
        own = self._runtime.credentials
        return {place: way for place, way in ways.items() if own is None or own.link_file(way.host) is not None}

    def told(self, path: str) -> tuple[Family, int]:
        """The family of a cluster below this tier, and its digest: thousands ask again and again."""
        if self._told[0] is not self._registry.snapshot or self._told[1] is not self.family:
            self._told = (self._registry.snapshot, self.family, {})
        known = self._told[2]
        if path not in known:
            family = self._of(path)
            known[path] = family, family.digest
        return known[path]

    def _of(self, path: str) -> Family:
        snapshot = self._registry.snapshot
        above = paths.parent(path)
        if above is None:
            return Family()
        siblings = _near(snapshot.hosts.get(above, ()), path)
        relays = _near(snapshot.relays.get(above, ()), path)
        if above == self._me:
            known = self.family
            return Family(
                parent=self._own(),
                grandparent=known.parent,
                uncles=known.siblings,
                siblings=siblings,
                relays=relays,
            )
        higher = paths.parent(above)
        assert higher is not None, path
        return Family(
            parent=self._relative(above),
            grandparent=self._own() if higher == self._me else self._relative(higher),
            uncles=_near(snapshot.hosts.get(higher, ()), above),
            siblings=siblings,
            relays=relays,
        )

    def state_of_parent(self, path: str) -> str | None:
        """How the parent of a cluster below is, as seen from here: online, offline or drained; None if it is this
        tier, or not known."""
        above = paths.parent(path)
        if above == self._me:
            return "drained" if self.drained else None
        rows = self._registry.snapshot.rows
        if above not in rows:
            return None
        return "drained" if rows[above].drained else self._registry.snapshot.state(above)[0]

    def _own(self) -> Relative | None:
        return Relative(self._me, self._runtime.leaf) if self._runtime.leaf else None

    def _relative(self, path: str) -> Relative | None:
        row = self._registry.snapshot.rows.get(path)
        return Relative(path, row.leaf) if row is not None and row.leaf else None


def _near(row: Sequence[Relative], path: str) -> list[Relative]:
    """Those that follow the path in this row of siblings, which is ordered, and closed to a ring."""
    start = bisect_right(row, path, key=attrgetter("path"))
    ring = [*row[start : start + NAMED], *row[: min(start, NAMED)]]
    return [one for one in dict.fromkeys(ring) if one.path != path][:NAMED]

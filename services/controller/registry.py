"""The registry: every cluster at or below this tier, from the log's projection, kept at hand.

A cluster behind one that is offline is offline too, whatever was heard of it last: `reason` says so.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import structlog

from bus import paths, tags
from bus.errors import OteError
from bus.event import Event
from bus.sync import Relative
from bus.types import ANNOUNCED, ATTACHED, JOINED, OFFLINE, ONLINE
from services.controller.selector import Candidate, Index, common_tag, resolve
from services.tier.runtime import Runtime
from services.tier.settings import TIER_SHIM
from store.api import ClusterRow, Reader
from store.errors import StoreError

logger = structlog.get_logger()

TYPES = (ANNOUNCED, ATTACHED, JOINED, ONLINE, OFFLINE)
#: A wave of joins is read once.
DEBOUNCE = 0.02
#: Of more clusters than so many, all are read.
SEVERAL = 200
#: Between two attempts to read it (seconds).
REREAD = 0.5


@dataclass(frozen=True)
class Snapshot:
    """The clusters of one moment."""

    rows: dict[str, ClusterRow]

    @cached_property
    def index(self) -> Index:
        """What selectors look at."""
        return Index([Candidate(row.path, row.tags) for row in self.rows.values() if row.announced])

    @cached_property
    def hosts(self) -> dict[str, list[Relative]]:
        """For each tier its children to which others could attach, in order of path."""
        return self._children(_leaf)

    @cached_property
    def relays(self) -> dict[str, list[Relative]]:
        """For each tier its children that pass the links of their siblings on, in order of path."""
        return self._children(_relay)

    def _children(self, address: Callable[[ClusterRow], str | None]) -> dict[str, list[Relative]]:
        found: dict[str, list[Relative]] = {}
        for path in sorted(self.rows):
            row = self.rows[path]
            if row.parent is not None and (reached := address(row)) is not None:
                found.setdefault(row.parent, []).append(Relative(path, reached))
        return found

    @cached_property
    def guests(self) -> dict[str, str]:
        """The clusters that are attached elsewhere than to their parent, and to whom."""
        return {path: host for path, row in self.rows.items() if (host := _host(row)) is not None}

    def merged(self, found: dict[str, ClusterRow]) -> Snapshot:
        """The next moment, in which these clusters are so. What they change nothing of is not made anew: with
        thousands, which come one after the other, that would be most of what each of them costs."""
        rows = self.rows | found
        if len(rows) > len(self.rows):
            rows = dict(sorted(rows.items()))
        made = Snapshot(rows)
        for name, tells in (("hosts", _leaf), ("relays", _relay), ("guests", _host)):
            if name in self.__dict__ and all(_same(tells, self.rows.get(path), row) for path, row in found.items()):
                made.__dict__[name] = self.__dict__[name]
        return made

    def state(self, path: str) -> tuple[str, str | None, str | None]:
        """(online | offline | unknown, since, reason) as seen from this tier."""
        row = self.rows[path]
        if row.state != "offline":
            for above in self._way(path):
                behind = self.rows.get(above)
                if behind is not None and behind.state == "offline":
                    return "offline", behind.since, f"behind {above}"
        return row.state, row.since, None

    def _way(self, path: str) -> Iterator[str]:
        """The tiers by which a cluster is reached, nearest first. Who is attached elsewhere is nearer to the root
        there than before, so that the way ends."""
        above = self.guests.get(path, paths.parent(path))
        while above is not None:
            yield above
            above = self.guests.get(above, paths.parent(above))

    def shim(self, path: str, kind: str | None) -> bool:
        """Whether the cluster has this shim (any, if kind is None)."""
        if kind == TIER_SHIM:
            return True
        shims = self.rows[path].shims
        return bool(shims) if kind is None else any(shim.get("kind") == kind for shim in shims)


def _leaf(row: ClusterRow) -> str | None:
    """Where others can attach to this cluster."""
    return row.leaf if row.leaf and not row.drained else None


def _relay(row: ClusterRow) -> str | None:
    """Where this cluster passes the links of its siblings on."""
    return row.relay if row.relay and not row.drained else None


def _host(row: ClusterRow) -> str | None:
    """To whom this cluster is attached, if not to its parent."""
    return row.attached_to if row.moved[1] and row.attached_to != row.parent else None


def _same(tells: Callable[[ClusterRow], str | None], before: ClusterRow | None, after: ClusterRow) -> bool:
    return tells(after) == (tells(before) if before is not None else None)


class Registry:
    """Follows the log; `snapshot` is what was committed a moment ago."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.snapshot = Snapshot({})
        self._next: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()
        #: What the next reading is of: all, or these clusters.
        self._all = True
        self._changed: set[str] = set()
        self._read_last = -math.inf

    async def start(self) -> None:
        """Reads the projection."""
        await self.refresh()

    async def refresh(self, changed: Iterable[str] | None = None) -> None:
        """Reads it again, or only the clusters of which something was said. All who ask while it is being read
        share the next reading: thousands join at once."""
        if changed is None:
            self._all = True
        else:
            self._changed.update(changed)
        if self._next is None:
            self._next = asyncio.create_task(self._read(), name="read the registry")
        await asyncio.shield(self._next)

    async def _read(self) -> None:
        async with self._reading:
            await asyncio.sleep(self._read_last + DEBOUNCE - time.monotonic())
            # Whoever asks from here on may want to see what comes after this reading.
            self._next = None
            whole, changed = self._all or len(self._changed) > SEVERAL, self._changed
            self._all, self._changed = False, set()
            me = self._runtime.path
            wanted = [path for path in changed if paths.is_under(path, me)]
            try:
                rows = await self._runtime.log.read(
                    lambda reader: reader.clusters(me) if whole else _rows_of(reader, wanted), stale=True
                )
            except BaseException:
                self._all = True
                raise
            found = {row.path: _sound(row) for row in rows if paths.is_path(row.path)}
            self.snapshot = Snapshot(found) if whole else self.snapshot.merged(found)
            self._read_last = time.monotonic()

    async def run(self, refreshed: Callable[[Set[str] | None], Awaitable[None]]) -> None:
        """Follows what is said of clusters, and tells when the snapshot is new, and of which of them (None: of all)."""
        after = await self._runtime.log.read(lambda reader: reader.last_row())
        await self.refresh()
        await refreshed(None)
        async for batch in self._runtime.log.follow(after=after, types=TYPES):
            begin = time.monotonic()
            changed = {path for _, event in batch if isinstance(path := event.data.get("path"), str)}
            await self._refresh_surely(changed)
            await refreshed(changed)
            # With many clusters this takes its time: half of it is left to other work.
            await asyncio.sleep(max(DEBOUNCE, time.monotonic() - begin))

    async def _refresh_surely(self, changed: set[str]) -> None:
        """A log that is away comes back."""
        while True:
            try:
                return await self.refresh(changed)
            except StoreError as error:
                logger.error("the clusters were not read; trying again", error=str(error))
                await asyncio.sleep(REREAD)

    def resolve(self, selector: str, field: str = "to") -> list[str]:
        """The paths that the selector in this field names; errors as `services.controller.selector.resolve`."""
        try:
            return resolve(selector, self.snapshot.index, scope=self._runtime.path)
        except OteError as error:
            error.field = field
            raise

    def common_tag(self, selected: Sequence[str]) -> str | None:
        """The rarest tag that all of these carry."""
        return common_tag(selected, self.snapshot.index)

    def epoch(self, path: str) -> str:
        """The life of that cluster's log, as far as it is known."""
        row = self.snapshot.rows.get(path)
        return row.epoch if row is not None else ""


def _rows_of(reader: Reader[Event], paths: Iterable[str]) -> list[ClusterRow]:
    return [row for path in paths if (row := reader.cluster(path)) is not None]


def _sound(row: ClusterRow) -> ClusterRow:
    """The cluster without tags and shims that are none: it says itself what it has."""
    tagged = {key: value for key, value in row.tags.items() if _is_tag(key, value)}
    shims = [shim for shim in row.shims if isinstance(shim.get("kind"), str)]
    if len(tagged) == len(row.tags) and len(shims) == len(row.shims):
        return row
    logger.warning("a cluster announces tags or shims that are none", path=row.path)
    return replace(row, tags=tagged, shims=shims)


@lru_cache(maxsize=65_536)
def _is_tag(key: str, value: str) -> bool:
    try:
        tags.to_texts({key: value})
    except OteError:
        return False
    return True

"""The projection `clusters`: which clusters there are at or below this tier, and how they are.

What a cluster is, it says itself, and its latest announcement counts. Whether it is reached, only the
tier knows to which it is attached: its word on a cluster counts in the order in which it was written,
and that a cluster is gone counts only from the tier to which it was attached last.

A cluster that moves to another tier says so itself: from then on that tier alone judges it, and what others
said before they knew of the move counts no more, however late it comes. What its new tier says may come before its own
word: then it waits for that. A tier that is not above it, and that the cluster has not named itself, is not believed:
else anybody could say that somebody else's cluster is a guest, and gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgpack

from store.api import Entry
from store.paths import is_under
from store.projections.base import Filed, Table, Tables, mapping, optional_text, text

ANNOUNCED = "ote.cluster.announced.v1"
ATTACHED = "ote.cluster.attached.v1"
JOINED = "ote.cluster.joined.v1"
ONLINE = "ote.cluster.online.v1"
OFFLINE = "ote.cluster.offline.v1"


@dataclass(slots=True)
class Cluster:
    """A cluster. `tags`, `shims` and `resources` are msgpack; (`epoch`, `seq`) is the place of its
    announcement, (`judge`, `judged_epoch`, `judged_seq`) that of the last word on its state."""

    path: str
    state: str = "unknown"
    since: str | None = None
    attached_to: str | None = None
    tags: bytes = b"\x80"
    shims: bytes = b"\x90"
    resources: bytes = b"\x80"
    version: str | None = None
    instance: str | None = None
    epoch: str = ""
    seq: int = 0
    announced: str | None = None
    last_seen: str | None = None
    judge: str | None = None
    judged_epoch: str = ""
    judged_seq: int = 0


@dataclass(slots=True)
class Whereabouts:
    """Where others reach a cluster, `leaf` (host:port), if anywhere, and whether it sends them away (`drained`);
    `relay` is where it passes the links of its siblings on; (`epoch`, `seq`) is the place of its own last word on the
    tier that it is attached to. `waiting` is what a tier has said (`Judgement`, msgpack) that knows a later one."""

    path: str
    leaf: str = ""
    drained: int = 0
    epoch: str = ""
    seq: int = 0
    relay: str = ""
    waiting: bytes = b""


class Judgement(NamedTuple):
    """A tier's word on a cluster; `of` is the place of the cluster's own last word on where it is, as far as the tier
    knew it."""

    judge: str
    place: tuple[str, int]
    of: tuple[str, int]
    is_online: bool
    since: str
    attached_to: str

    @classmethod
    def read(cls, event: Entry) -> Judgement:
        of = mapping(event.data, "of")
        seq = of.get("seq")
        is_online = event.type != OFFLINE
        return cls(
            event.source,
            (event.epoch, event.seq or 0),
            (text(of, "epoch"), seq if isinstance(seq, int) else 0),
            is_online,
            event.time if is_online else text(event.data, "since") or event.time,
            text(event.data, "attached_to") or event.source,
        )

    @classmethod
    def unpack(cls, packed: bytes) -> Judgement:
        judge, place, of, *rest = msgpack.unpackb(packed)
        return cls(judge, tuple(place), tuple(of), *rest)


CLUSTERS = Table("clusters", Cluster, ("path",))
WHEREABOUTS = Table("whereabouts", Whereabouts, ("path",))


class Clusters:
    """Folds what clusters and the tiers above them say; the tier `source` itself is online."""

    name = "clusters"
    version = 6
    tables = (CLUSTERS, WHEREABOUTS)
    types = frozenset({ANNOUNCED, ATTACHED, JOINED, ONLINE, OFFLINE})

    def __init__(self, source: str) -> None:
        self._source = source

    def apply(self, tables: Tables, events: Iterable[Filed]) -> None:
        rows, places = tables.rows(CLUSTERS), tables.rows(WHEREABOUTS)
        for filed in events:
            event = filed.event
            if not (path := text(event.data, "path")):
                continue
            cluster = rows.get(path) or Cluster(path)
            where = places.get(path) or Whereabouts(path)
            if event.type == ANNOUNCED:
                changed = self._announced(cluster, event)
            elif event.type == ATTACHED:
                changed = _attached(cluster, where, event)
            else:
                word = Judgement.read(event)
                if waits := self._waits(path, where, word):
                    _put_aside(where, word)
                    places.put(where)
                changed = not waits and self._judged(cluster, where, word)
            if changed and event.type in (ANNOUNCED, ATTACHED):
                _find(where, event)
                self._catch_up(cluster, where)
                places.put(where)
            if changed:
                rows.put(cluster)

    def _is_host(self, path: str, judge: str) -> bool:
        """Whether the judge can be no more to the cluster than where it is for a while. This tier's own word on a guest
        is all that it may hear of it: what the guest says of itself goes to those above the guest."""
        return judge != self._source and not is_under(path, judge)

    def _waits(self, path: str, where: Whereabouts, word: Judgement) -> bool:
        """Whether it knows a later word of the cluster than those that are here; of another life, if it is a host's:
        those above the cluster know of a life before it has said where it is."""
        if word.judge == self._source or word.of <= (where.epoch, where.seq):
            return False
        if self._is_host(path, word.judge):
            return word.of[1] > 0
        return not where.seq or word.of[0] == where.epoch

    def _is_entitled(self, cluster: Cluster, where: Whereabouts, word: Judgement) -> bool:
        """Whom the cluster has named is. Who is above it is also before it has named anybody, and when he knows of a
        later life of it than that in which it has."""
        place = (where.epoch, where.seq)
        if where.seq and word.judge == cluster.attached_to and word.of >= place:
            return True
        return not self._is_host(cluster.path, word.judge) and (not where.seq or word.of[0] > where.epoch)

    def _catch_up(self, cluster: Cluster, where: Whereabouts) -> None:
        """The cluster has said what a judgement waited for."""
        if where.waiting and (word := Judgement.unpack(where.waiting)).of <= (where.epoch, where.seq):
            where.waiting = b""
            self._judged(cluster, where, word)

    def _judged(self, cluster: Cluster, where: Whereabouts, word: Judgement) -> bool:
        if word.judge == cluster.judge and word.place <= (cluster.judged_epoch, cluster.judged_seq):
            return False
        if not self._is_entitled(cluster, where, word):
            return False
        if not word.is_online and cluster.attached_to not in (None, word.judge):
            return False
        state = "online" if word.is_online else "offline"
        if word.is_online:
            cluster.attached_to = word.attached_to
        if state != cluster.state:
            cluster.state, cluster.since = state, word.since
        cluster.judge, (cluster.judged_epoch, cluster.judged_seq) = word.judge, word.place
        _seen(cluster, word.since)
        return True

    def _announced(self, cluster: Cluster, event: Entry) -> bool:
        place = (event.epoch, event.seq or 0)
        if event.source != cluster.path or place <= (cluster.epoch, cluster.seq):
            return False
        cluster.epoch, cluster.seq = place
        cluster.announced = event.time
        cluster.tags = msgpack.packb(_labels(event.data))
        shims = event.data.get("shims")
        cluster.shims = msgpack.packb([s for s in shims if isinstance(s, Mapping)] if isinstance(shims, list) else [])
        cluster.resources = msgpack.packb(mapping(event.data, "resources"))
        cluster.version = optional_text(event.data, "version")
        cluster.instance = optional_text(event.data, "instance")
        if cluster.path == self._source and cluster.state != "online":
            cluster.state, cluster.since = "online", event.time
        _seen(cluster, event.time)
        return True


def _labels(data: Mapping[str, Any]) -> dict[str, str]:
    return {str(k): v for k, v in mapping(data, "tags").items() if isinstance(v, str)}


def _find(where: Whereabouts, event: Entry) -> None:
    """What the announcement says of how it is reached; the first of a later life takes back where it was."""
    if event.type == ANNOUNCED:
        where.leaf, where.relay = text(event.data, "leaf"), text(event.data, "relay")
        where.drained = int(event.data.get("drained") is True)
        if event.epoch > where.epoch:
            where.epoch, where.seq = event.epoch, 0
    else:
        where.epoch, where.seq = event.epoch, event.seq or 0


def _attached(cluster: Cluster, where: Whereabouts, event: Entry) -> bool:
    """The cluster's own word on where it is: who can say that is there."""
    host = text(event.data, "attached_to")
    if event.source != cluster.path or not host or (event.epoch, event.seq or 0) <= (where.epoch, where.seq):
        return False
    if cluster.state != "online":
        cluster.state, cluster.since = "online", event.time
    cluster.attached_to = host
    cluster.judge = None
    _seen(cluster, event.time)
    return True


def _put_aside(where: Whereabouts, word: Judgement) -> None:
    if not where.waiting or (old := Judgement.unpack(where.waiting)).judge != word.judge or old.place < word.place:
        where.waiting = msgpack.packb(word)


def _seen(cluster: Cluster, time: str) -> None:
    cluster.last_seen = max(cluster.last_seen or time, time)

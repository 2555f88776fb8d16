"""The projection `clusters`: which clusters there are at or below this tier, and how they are.

What a cluster is, it says itself, and its latest announcement counts. Whether it is reached, only the
tier knows to which it is attached: its word on a cluster counts in the order in which it was written,
and that a cluster is gone counts only from the tier to which it was attached last.

A cluster that moves to another tier says so itself: from then on that tier alone judges it, and what others
said before they knew of the move counts no more, however late it comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from store.api import Entry
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
    tier that it is attached to."""

    path: str
    leaf: str = ""
    drained: int = 0
    epoch: str = ""
    seq: int = 0
    relay: str = ""


CLUSTERS = Table("clusters", Cluster, ("path",))
WHEREABOUTS = Table("whereabouts", Whereabouts, ("path",))


class Clusters:
    """Folds what clusters and the tiers above them say; the tier `source` itself is online."""

    name = "clusters"
    version = 4
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
                changed = _judged(cluster, where, event)
            if changed:
                rows.put(cluster)
            if changed and event.type in (ANNOUNCED, ATTACHED):
                places.put(_found(where, event))

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


def _found(where: Whereabouts, event: Entry) -> Whereabouts:
    """What the announcement says of how it is reached; the first of a later life takes back where it was."""
    if event.type == ANNOUNCED:
        where.leaf, where.relay = text(event.data, "leaf"), text(event.data, "relay")
        where.drained = int(event.data.get("drained") is True)
        if event.epoch > where.epoch:
            where.epoch, where.seq = event.epoch, 0
    else:
        where.epoch, where.seq = event.epoch, event.seq or 0
    return where


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


def _judged(cluster: Cluster, where: Whereabouts, event: Entry) -> bool:
    place = (event.epoch, event.seq or 0)
    if event.source == cluster.judge and place <= (cluster.judged_epoch, cluster.judged_seq):
        return False
    known = _known(event)
    # Who knows of a later life of the cluster knows more of where it is than the cluster's own words that are here.
    if (
        where.seq
        and known[0] <= where.epoch
        and (event.source != cluster.attached_to or known < (where.epoch, where.seq))
    ):
        return False
    if event.type == OFFLINE:
        if cluster.attached_to not in (None, event.source):
            return False
        state, since = "offline", text(event.data, "since") or event.time
    else:
        state, since = "online", event.time
        cluster.attached_to = text(event.data, "attached_to") or event.source
    if state != cluster.state:
        cluster.state, cluster.since = state, since
    cluster.judge, (cluster.judged_epoch, cluster.judged_seq) = event.source, place
    _seen(cluster, since)
    return True


def _known(event: Entry) -> tuple[str, int]:
    """The place of the cluster's own last word on where it is, as far as its judge knew it."""
    known = mapping(event.data, "of")
    seq = known.get("seq")
    return text(known, "epoch"), seq if isinstance(seq, int) else 0


def _seen(cluster: Cluster, time: str) -> None:
    cluster.last_seen = max(cluster.last_seen or time, time)

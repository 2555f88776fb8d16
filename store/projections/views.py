"""Projection records as the rows that services read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgpack

from store.api import ClusterRow, CommandRow, Entry, TargetRow
from store.paths import is_under
from store.projections.clusters import Cluster, Whereabouts
from store.projections.commands import Command, Target, Waypoint


def command_row(command: Command) -> CommandRow:
    """The command without its place in this log."""
    return CommandRow(
        id=command.id,
        origin=command.origin,
        epoch=command.epoch,
        selector=command.selector,
        do=msgpack.unpackb(command.do),
        digest=command.digest,
        count=command.count,
        actor=command.actor,
        key=command.key,
        lane=command.lane,
        submitted=command.submitted,
        expiresat=command.expiresat,
    )


def target_row(target: Target, waypoints: Iterable[Waypoint], final: Entry | None) -> TargetRow:
    """The target with what `final`, the event that ended it, says, and with the times of those
    `waypoints` that lie on its way."""
    data: Any = final.data if final else {}
    return TargetRow(
        command=target.command,
        target=target.target,
        origin=target.origin,
        epoch=target.epoch,
        number=target.number,
        target_epoch=target.target_epoch,
        state=target.state,
        checksum=target.checksum,
        accepted=target.accepted,
        stored={point.tier: point.time for point in waypoints if is_under(target.target, point.tier)},
        delivered=target.received,
        started=target.started,
        executed=target.executed,
        observed=target.observed,
        result=data.get("result"),
        error=data.get("error"),
        withdrawn=target.withdrawn,
        received_at=target.received_at,
    )


def cluster_row(cluster: Cluster, where: Whereabouts | None) -> ClusterRow:
    """The cluster with what its path tells, and where it is."""
    parent, _, name = cluster.path.rpartition(".")
    return ClusterRow(
        path=cluster.path,
        name=name,
        parent=parent or None,
        attached_to=cluster.attached_to,
        tags=msgpack.unpackb(cluster.tags),
        shims=msgpack.unpackb(cluster.shims),
        version=cluster.version,
        resources=msgpack.unpackb(cluster.resources),
        instance=cluster.instance,
        epoch=cluster.epoch,
        seq=cluster.seq,
        state=cluster.state,
        since=cluster.since,
        announced=cluster.announced,
        last_seen=cluster.last_seen,
        leaf=where.leaf if where else "",
        drained=bool(where and where.drained),
        moved=(where.epoch, where.seq) if where else ("", 0),
        relay=where.relay if where else "",
        judged=cluster.judged_epoch,
    )

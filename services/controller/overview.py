"""How the tier and its clusters are: what `ote.local.clusters` and `ote.local.status` say."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bus import paths, tags
from bus.contracts import MAX_LIMIT
from bus.event import Event, now, parse_time
from bus.messages import ClustersRequest
from services.controller import lag
from services.controller.asker import Asker
from services.controller.inbound import Inbound
from services.controller.membership import Membership
from services.controller.registry import Registry, Snapshot
from services.tier.runtime import Runtime
from services.tier.version import VERSION
from store.api import ClusterRow, Guarantee, Reader, TargetRow

#: How many of the oldest are listed.
LISTED = 10


class Overview:
    """Reads what the other parts of the controller know."""

    def __init__(
        self, runtime: Runtime, registry: Registry, membership: Membership, asker: Asker, inbound: Inbound
    ) -> None:
        self._runtime = runtime
        self._registry = registry
        self._membership = membership
        self._asker = asker
        self._inbound = inbound
        self._started = time.monotonic()

    async def clusters(self, request: ClustersRequest) -> dict[str, Any]:
        """`{"clusters": [...], "next"?}`, in order of path."""
        snapshot = self._registry.snapshot
        chosen = sorted(snapshot.rows) if request.select is None else self._registry.resolve(request.select, "select")
        page = [path for path in chosen if path > (request.after or "")][: request.limit + 1]
        lags = await self._runtime.log.read(lambda reader: self._lags(reader, page[: request.limit]), stale=True)
        listed = [self._cluster(snapshot, path, lags[path]) for path in page[: request.limit]]
        out: dict[str, Any] = {"clusters": listed}
        if len(page) > request.limit:
            out["next"] = page[request.limit - 1]
        return out

    def _cluster(self, snapshot: Snapshot, path: str, behind: dict[str, Any]) -> dict[str, Any]:
        row = snapshot.rows[path]
        state, since, reason = snapshot.state(path)
        child = self._membership.children.get(path)
        beat = child.last if child is not None else None
        out: dict[str, Any] = {
            "path": path,
            "name": row.name,
            "tags": tags.to_texts(row.tags),
            "state": state,
            "since": since,
            "parent": row.parent,
            "attached_to": row.attached_to,
            "shims": [shim["kind"] for shim in row.shims],
            "lag": behind,
            "last_seen": self._last_seen(row, state),
            "version": row.version,
            "resources": dict(beat.resources) if beat is not None else dict(row.resources),
        }
        if reason is not None:
            out["reason"] = reason
        if state == "online" and child is not None and child.ahead is not None:
            out["clock"] = child.ahead
        return out

    def seen(self, path: str) -> tuple[str, str | None]:
        """The state of a cluster, and when it was last heard of."""
        snapshot = self._registry.snapshot
        if path not in snapshot.rows:
            return "unknown", None
        state = snapshot.state(path)[0]
        return state, self._last_seen(snapshot.rows[path], state)

    def _last_seen(self, row: ClusterRow, state: str) -> str | None:
        """Of a cluster farther below, its parent knows more; what is known of it here is as fresh as the
        last word of the child through which it is reached."""
        if state != "online":
            return row.last_seen
        if row.path == self._runtime.path:
            return now()
        through = self._runtime.path + "." + row.path[len(self._runtime.path) + 1 :].split(".")[0]
        child = self._membership.children.get(through)
        return child.last.time if child is not None and child.last is not None else row.last_seen

    def _lags(self, reader: Reader[Event], chosen: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What a cluster has not received of what was sent to it, and what it has said that is not here."""
        waiting = reader.waiting()
        unseen = lag.unseen(reader, self._runtime.path, self._membership.children)
        moment = datetime.now(UTC)
        out = {}
        for path in chosen:
            count, oldest = waiting.get(path, (0, None))
            seconds = (moment - parse_time(oldest)).total_seconds() if oldest is not None else 0.0
            out[path] = {"events": count + unseen.get(path, 0), "seconds": round(max(seconds, 0.0), 3)}
        return out

    async def status(self) -> dict[str, Any]:
        """The tier at one glance: what is away, what waits, what is in doubt, what is full."""

        def read(reader: Reader[Event]) -> tuple[dict[str, Any], list[TargetRow], list[TargetRow], list[Guarantee]]:
            in_doubt = reader.oldest_open(LISTED, state="in-doubt")
            oldest = reader.oldest_open(LISTED, state="accepted")
            return reader.counts(), oldest, in_doubt, reader.guarantees()

        counts, oldest, in_doubt, guarantees = await self._runtime.look(read)
        runtime = self._runtime
        open_states = ("accepted", "received", "started")
        return {
            "path": runtime.path,
            "version": VERSION,
            "epoch": runtime.log.epoch,
            "instance": runtime.instance,
            "uptime": round(time.monotonic() - self._started, 3),
            "metrics": runtime.metrics.url,
            "link": self._link(),
            "clusters": self._away(),
            "commands": {
                "open": sum(counts["targets"].get(state, 0) for state in open_states),
                "oldest": [_open_target(row) for row in oldest],
                "doubts": counts["targets"].get("in-doubt", 0),
                "in_doubt": [_open_target(row) for row in in_doubt],
            },
            "backlog": {
                "undelivered": counts["targets"].get("accepted", 0),
                "unfinished": counts["targets"].get("received", 0) + counts["targets"].get("started", 0),
                "behind_gap": self._inbound.waiting(),
                "dropped_messages": runtime.bus.stats.drops,
            },
            "log": {
                "events": counts["events"],
                "bytes": counts["bytes"],
                "free_bytes": shutil.disk_usage(runtime.settings.state).free,
                "oldest": counts["oldest"],
                "reclaimable": counts["reclaimable"],
                "trouble": runtime.trouble,
                "waits": not runtime.history.is_set(),
                **_guarantee(guarantees),
            },
        }

    def _link(self) -> dict[str, Any]:
        link = self._asker.parent
        if link is None:
            return {"parent": None, "state": "root"}
        out: dict[str, Any] = {"parent": link.path, "state": link.state, "since": link.since}
        if link.reason:
            out["reason"] = link.reason
        if (ahead := self._runtime.clock.offset(link.path)) is not None:
            out["clock"] = round(ahead, 3)
        return out

    def _away(self) -> dict[str, Any]:
        snapshot = self._registry.snapshot
        offline = []
        online = 0
        for path in sorted(snapshot.rows, key=paths.depth):
            state, since, reason = snapshot.state(path)
            online += state == "online"
            if state == "offline":
                away = {"path": path, "since": since}
                offline.append({**away, "reason": reason} if reason else away)
        return {"online": online, "away": len(offline), "offline": offline[:MAX_LIMIT]}


def _guarantee(known: Sequence[Guarantee]) -> dict[str, Any]:
    """What a commit of this tier is worth, and since when."""
    return {"synchronous": known[-1].synchronous, "synchronous_since": known[-1].since} if known else {}


def _open_target(row: TargetRow) -> dict[str, Any]:
    since = row.executed or row.started or row.delivered or row.accepted
    return {"command": row.command, "target": row.target, "state": row.state, "since": since}

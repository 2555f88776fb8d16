"""What a tier tells Prometheus: all of it read when it is asked for, from what is there anyway.

Labels are the tier's own ancestors and children, and words that are known beforehand. docs/operations.md lists
the metrics.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Mapping
from typing import get_args

import structlog
from prometheus_client.core import Metric

from bus import paths
from services.controller.answerer import Answerer
from services.controller.asker import Asker
from services.controller.families import Families
from services.controller.inbound import Inbound
from services.controller.keyring import Fault
from services.controller.log_metrics import Behind, View, tell_lag, tell_log, view
from services.controller.membership import Membership
from services.controller.registry import Registry, Snapshot
from services.tier.runtime import Runtime
from services.tier.version import VERSION
from store.errors import StoreError

logger = structlog.get_logger()

CLUSTER_STATES = ("online", "offline", "unknown")
#: Of more children than this, those that are away or farthest behind have series of their own.
MOST_CHILDREN = 1000


class TierMetrics:
    """Reads what the other parts of the controller know."""

    def __init__(
        self,
        runtime: Runtime,
        registry: Registry,
        membership: Membership,
        asker: Asker,
        answerer: Answerer,
        inbound: Inbound,
    ) -> None:
        self._runtime = runtime
        self._registry = registry
        self._membership = membership
        self._asker = asker
        self._answerer = answerer
        self._inbound = inbound

    async def gather(self) -> list[Metric]:
        """All families. Where the log can not be read those that come from it are left out, and `ote_log_up` is 0."""
        runtime = self._runtime
        states = await asyncio.to_thread(_states, self._registry.snapshot)
        disk = await asyncio.to_thread(shutil.disk_usage, runtime.settings.state)
        log = await self._log()
        out = Families(runtime.path)
        self._tell_tier(out)
        out.gauge("ote_clusters", "Clusters at or below this tier.", _tally(states, CLUSTER_STATES), "state")
        children = {path: state == "online" for path, state in states.items() if paths.parent(path) == runtime.path}
        behind = {path: Behind() for path in children} | (dict(log.behind) if log else {})
        told = _told(children, behind)
        self._tell_links(out, {path: children[path] for path in told})
        self._tell_traffic(out)
        out.histogram("ote_log_commit_duration_seconds", "Commits of the log.", runtime.log.commits)
        out.gauge("ote_disk_free_bytes", "Free on the disk of the state directory.", disk.free)
        out.gauge("ote_log_up", "Whether the log can be read.", log is not None)
        if log is not None:
            tell_log(out, log)
            tell_lag(out, {path: behind[path] for path in told}, log.at)
        return out

    async def _log(self) -> View | None:
        me, children = self._runtime.path, dict(self._membership.children)
        try:
            return await self._runtime.log.read(lambda reader: view(reader, me, children))
        except StoreError as error:
            logger.warning("no metrics of the log", error=str(error))
            return None

    def _tell_tier(self, out: Families) -> None:
        labels = ("version", "epoch", "parent")
        about = (VERSION, self._runtime.log.epoch, paths.parent(self._runtime.path) or "")
        out.gauge("ote_tier_info", "This tier.", {about: 1}, *labels)

    def _tell_links(self, out: Families, children: Mapping[str, bool]) -> None:
        above = {("parent" if n == 0 else "ancestor", link.path): link for n, link in enumerate(self._asker.links)}
        up = {key: float(link.state == "up") for key, link in above.items()}
        up |= {("child", path): float(online) for path, online in children.items()}
        out.gauge("ote_link_up", "Whether this ancestor answers, or this child is heard.", up, "relation", "peer")
        ups = {key: float(link.ups) for key, link in above.items()}
        out.counter("ote_link_connects", "How often this ancestor came to answer.", ups, "relation", "peer")

    def _tell_traffic(self, out: Families) -> None:
        stats = self._runtime.bus.stats
        out.counter("ote_bus_sent_messages", "Messages that this process sent.", stats.sent)
        out.counter("ote_bus_received_messages", "Messages that came to this process.", stats.received)
        out.counter("ote_bus_dropped_messages", "Those for which it had no room; repair brings them.", stats.drops)
        out.counter(
            "ote_bus_reconnects", "How often the connection to the tier's own server came back.", stats.reconnects
        )
        out.counter("ote_bus_handler_errors", "Messages that this process failed to handle.", stats.handler_errors)
        out.gauge(
            "ote_mail_behind_gap", "Commands for this cluster that wait for earlier ones.", self._inbound.waiting()
        )
        out.counter("ote_flood_messages", "Messages of a flood, which were not looked at.", self._inbound.floods.shed)
        rejected = self._inbound.guard.rejected
        counts = {reason: float(rejected[reason]) for reason in get_args(Fault)}
        out.counter("ote_events_rejected", "Events that came and were not believed.", counts, "reason")
        repaired = {
            ("down", "taken"): self._asker.taken,
            ("down", "shipped"): self._answerer.shipped,
            ("up", "taken"): self._answerer.taken,
            ("up", "shipped"): self._asker.shipped,
        }
        pages = {key: float(volume.pages) for key, volume in repaired.items()}
        events = {key: float(volume.events) for key, volume in repaired.items()}
        labels = ("direction", "action")
        out.counter("ote_repair_pages", "Pages of what push had lost.", pages, *labels)
        out.counter("ote_repair_events", "Events of what push had lost; taken: those that were new.", events, *labels)


def _states(snapshot: Snapshot) -> dict[str, str]:
    return {path: snapshot.state(path)[0] for path in snapshot.rows}


def _tally(states: Mapping[str, str], known: tuple[str, ...]) -> dict[str, float]:
    """Also of those that are none: an alert needs a series before its first trouble."""
    found = Counter(states.values())
    return {state: float(found[state]) for state in known}


def _told(children: Mapping[str, bool], behind: Mapping[str, Behind]) -> list[str]:
    """The children that have series of their own."""
    worst = sorted(children, key=lambda path: (children[path], -behind[path].waiting - behind[path].unseen, path))
    return sorted(worst[:MOST_CHILDREN])

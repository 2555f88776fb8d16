"""Membership: a tier announces itself and sends heartbeats; its parent admits it, and records when it
goes and comes. A second living cluster with the same path is refused, and both sides are told.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgpack
import structlog

from bus import paths, subjects, tags
from bus.client import Message
from bus.errors import OteError, Unavailable
from bus.event import Draft, Event, format_time, now, parse_time
from bus.messages import Heartbeat
from bus.sync import Hello
from bus.types import ANNOUNCED, JOINED, OFFLINE, ONLINE, REFUSED_CLUSTER
from services.controller import lag
from services.controller.floods import Floods
from services.controller.hush import Hush
from services.controller.patience import rounds
from services.controller.registry import Registry
from services.tier import tagging
from services.tier.mail import is_first
from services.tier.runtime import Runtime
from services.tier.version import VERSION
from store.api import ClusterRow, Reader, Tx
from store.errors import StoreError

logger = structlog.get_logger()

#: How long the living owner of a path has to answer when another asks for admission (seconds).
CLAIM_WAIT = 0.3


@dataclass(slots=True)
class Child:
    """A child that was admitted: when it was last heard (monotonic), what it said, and by how many seconds its clock
    was ahead then."""

    instance: str
    heard: float
    last: Heartbeat | None = None
    ahead: float | None = None


class Membership:
    """This tier's place among its parent's children, and its own children."""

    def __init__(self, runtime: Runtime, registry: Registry, floods: Floods) -> None:
        self._runtime = runtime
        self._floods = floods
        self._registry = registry
        self._me = runtime.path
        self._started = time.monotonic()
        self.children: dict[str, Child] = {}
        #: The children whose links a sibling passes on, and which.
        self.relayed: dict[str, str] = {}
        self._coming: set[str] = set()
        #: In which life of this log it was last said that they are there, and of which life of theirs.
        self._said: dict[str, tuple[str, str]] = {}
        self._hush = Hush()
        #: Who was refused last, for each path: a newcomer that goes on asking is recorded once.
        self._refused: dict[str, str] = {}

    async def start(self) -> None:
        """Announces this cluster and listens to its children."""
        bus = self._runtime.bus
        heard = self._floods.gate(subjects.path_of_heartbeat, self._on_heartbeat)
        await bus.subscribe(subjects.heartbeats_of_children(self._me), heard)
        await bus.subscribe(subjects.ask(self._me), self._on_ask)
        await self.announce()

    async def announce(self) -> None:
        """Tells all above what this cluster is, and in which life of its log."""
        about = self._about()

        def op(tx: Tx[Event]) -> None:
            last = tagging.announced(tx, self._me)
            retagged = tagging.retagged(last)
            labels = tagging.changed(about["tags"], retagged)
            drained = last is not None and last.data.get("drained") is True
            tx.append(self._event(ANNOUNCED, {**about, "tags": labels, "retagged": retagged, "drained": drained}))

        await self._runtime.log.write(op)

    async def run(self) -> None:
        """Sends heartbeats, and watches those of the children."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat(), name="heartbeat")
            group.create_task(self._watch(), name="watch children")

    # -- this cluster ------------------------------------------------------------------------------

    def _about(self) -> dict[str, Any]:
        settings = self._runtime.settings
        return {
            "path": self._me,
            "tags": tags.parse_tags(settings.tags),
            "shims": [{"kind": kind, "default": kind == settings.shims[0]} for kind in settings.shims],
            "version": VERSION,
            "resources": resources(settings.state),
            "instance": self._runtime.instance,
            "depth": self._runtime.depth,
            "leaf": self._runtime.leaf,
            "relay": self._runtime.relay_address,
        }

    def _event(self, kind: str, data: dict[str, Any]) -> Draft:
        return Draft(type=kind, subject=subjects.event(kind, self._me), data=data)

    async def _beat(self) -> None:
        while self._runtime.depth:
            try:
                await self.beat()
            except StoreError as error:
                # A tier whose log is away can do nothing for those above: that is how it should look to them.
                logger.error("no heartbeat without the log", error=str(error))
            await asyncio.sleep(self._runtime.settings.heartbeat)

    async def beat(self) -> None:
        """Sends a heartbeat; without a connection nobody is there to hear it."""
        position, behind = await self._runtime.log.read(self._positions, stale=True)
        heartbeat = Heartbeat(
            path=self._me,
            instance=self._runtime.instance,
            epoch=self._runtime.log.epoch,
            held=position,
            behind=lag.named(behind),
            time=now(),
            load=os.getloadavg()[0],
            resources=resources(self._runtime.settings.state),
            version=VERSION,
            via=self._runtime.via,
        )
        try:
            self._runtime.bus.send(subjects.heartbeat(self._me), msgpack.packb(heartbeat.model_dump()))
        except Unavailable:
            logger.debug("no connection for a heartbeat")

    def _positions(self, reader: Reader[Event]) -> tuple[int, dict[str, int]]:
        return lag.held(reader, self._me), lag.unseen(reader, self._me, self.children)

    def _on_ask(self, message: Message) -> None:
        """The parent asks who lives here; what is not empty is a live query."""
        if message.data:
            return
        message.respond(msgpack.packb({"path": self._me, "instance": self._runtime.instance}))

    # -- children ----------------------------------------------------------------------------------

    async def admit(self, path: str, hello: Hello) -> str | None:
        """Why the newcomer is refused, or None. Only the parent decides on its children."""
        if paths.parent(path) != self._me:
            return None
        known = self.children.get(path)
        if known is not None and known.instance != hello.instance and await self._lives(path, known.instance):
            return await self._refuse(path, hello.instance, known.instance)
        self.children[path] = Child(hello.instance, time.monotonic())
        return None

    def knows(self, path: str, instance: str) -> bool:
        """Whether this instance has the path, as far as this tier decides: on its children only."""
        child = self.children.get(path)
        return paths.parent(path) != self._me or (child is not None and child.instance == instance)

    def carried(self, by: str) -> list[str]:
        """The children whose links this one of their siblings passes on."""
        there = [path for path, via in self.relayed.items() if via == by]
        return sorted(path for path in there if self._heard(path) >= self._limit())

    async def _lives(self, path: str, instance: str) -> bool:
        try:
            answers = await self._runtime.bus.request_many(
                subjects.ask(path), b"", timeout=CLAIM_WAIT * 2, stall=CLAIM_WAIT
            )
        except OteError:
            return False
        return msgpack.packb({"path": path, "instance": instance}) in [answer.data for answer in answers]

    async def _refuse(self, path: str, instance: str, owner: str) -> str:
        reason = f"another living cluster has the path {path} (instance {owner})"
        if self._refused.get(path) == instance:
            return reason
        self._refused[path] = instance
        logger.error("refused", path=path, instance=instance, reason=reason)
        data = {"path": path, "instance": instance, "owner": owner, "reason": reason}
        await self._runtime.log.write(lambda tx: tx.append(self._event(REFUSED_CLUSTER, data)))
        return reason

    def look(self, changed: Set[str] | None = None) -> None:
        """What is known of these clusters, or of all, has changed: some may be there now."""
        for path in self.children if changed is None else self.children.keys() & changed:
            self._look_at(path)

    def _look_at(self, path: str) -> None:
        """A child is there when it was heard, and what it is is known: then it can be commanded."""
        row, child = self._registry.snapshot.rows.get(path), self.children[path]
        if row is None or row.instance != child.instance or child.last is None or child.heard < self._limit():
            return
        if row.moved[1] and row.attached_to != self._me:
            return  # it is on its way home, and says so itself
        is_news = row.state != "online" or row.attached_to != self._me or self._is_unsaid(row)
        if is_news and path not in self._coming:
            self._coming.add(path)
            self._runtime.spawn(self._say_there(path), f"online {path}")

    def _is_unsaid(self, row: ClusterRow) -> bool:
        """Whether this log or the child's has begun another life since it was said that the child is there: what the
        earlier life said last is not known for certain here, and others may hold more of it."""
        life = self._runtime.log.epoch
        said, of = self._said.get(row.path, ("", ""))
        return (not is_first(life) and life not in (row.judged, said)) or (not is_first(row.epoch) and row.epoch != of)

    async def _say_there(self, path: str) -> None:
        """Records the first and every other coming."""
        row = self._registry.snapshot.rows.get(path)
        self._said[path] = self._runtime.log.epoch, row.epoch if row is not None else ""
        kind = JOINED if row is None or row.attached_to is None else ONLINE
        data = {"path": path, "attached_to": self._me, **self._of(path)}
        try:
            await self._runtime.log.write(lambda tx: tx.append(self._event(kind, data)))
            await self._registry.refresh([path])
        finally:
            self._coming.discard(path)

    def _on_heartbeat(self, message: Message) -> None:
        try:
            path = subjects.path_of_heartbeat(message.subject)
            beat = Heartbeat.model_validate(msgpack.unpackb(message.data))
        except (OteError, ValueError, msgpack.UnpackException) as error:
            if times := self._hush.times(message.subject):
                logger.warning("not a heartbeat", subject=message.subject, error=str(error)[:200], times=times)
            return
        child = self.children.get(path)
        if child is None or (beat.path, beat.instance) != (path, child.instance):
            return
        child.heard, child.last = time.monotonic(), beat
        if beat.via is not None:
            self.relayed[path] = beat.via
        else:
            self.relayed.pop(path, None)
        child.ahead = round((parse_time(beat.time) - datetime.now(UTC)).total_seconds(), 3)
        self._look_at(path)

    async def _watch(self) -> None:
        async for _ in rounds(self._runtime.settings.heartbeat):
            gone = [path for path in self._expected() if self._heard(path) < self._limit()]
            if not gone:
                continue
            try:
                await self._say_gone(gone)
            except StoreError as error:
                # A full disk does not end a tier: it is said when there is room.
                logger.error("that children are offline was not recorded; trying again", error=str(error))

    def _limit(self) -> float:
        """Who was not heard since then is offline."""
        settings = self._runtime.settings
        return time.monotonic() - settings.heartbeat * settings.missed_heartbeats

    def _of(self, path: str) -> dict[str, Any]:
        """How far this tier knew the child's own words on where it is."""
        row = self._registry.snapshot.rows.get(path)
        if row is None or (not row.moved[1] and is_first(row.epoch)):
            return {}
        return {"of": {"epoch": row.moved[0], "seq": row.moved[1]}}

    def _expected(self) -> Sequence[str]:
        """The children that this tier holds to be online, and here."""
        rows = self._registry.snapshot.rows.values()
        return [row.path for row in rows if self._me == row.attached_to == row.parent and row.state == "online"]

    def _heard(self, path: str) -> float:
        child = self.children.get(path)
        return child.heard if child is not None else self._started

    def _last_heard(self, path: str) -> str:
        return format_time(datetime.now(UTC) - timedelta(seconds=time.monotonic() - self._heard(path)))

    async def _say_gone(self, gone: Sequence[str]) -> None:
        drafts = [
            self._event(OFFLINE, {"path": path, "since": self._last_heard(path), **self._of(path)}) for path in gone
        ]
        for path in gone:
            logger.warning("a child is offline", path=path)
        await self._runtime.log.write(lambda tx: [tx.append(draft) for draft in drafts])
        await self._registry.refresh(gone)


def resources(state: os.PathLike[str]) -> dict[str, float]:
    """What is free on this machine: cores, bytes of memory and of the disk under the state directory."""
    pages, size = os.sysconf("SC_AVPHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {"cpus": os.cpu_count() or 1, "memory": pages * size, "disk": shutil.disk_usage(state).free}

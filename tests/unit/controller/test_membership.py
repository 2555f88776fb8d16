"""What a parent says of its children, and when it says it again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

from bus.event import Event, now
from bus.messages import Heartbeat
from bus.types import JOINED, ONLINE
from services.controller.floods import Floods
from services.controller.membership import Child, Membership
from store.memory import MemoryLog
from tests.unit.store.samples import EPOCH, LATER, Source, cluster

ME, CHILD = "root.a", "root.a.x"


class Parent:
    """A parent on a log of its own, and a child that it hears."""

    def __init__(self) -> None:
        self.log: MemoryLog[Event] = MemoryLog(ME, epoch=EPOCH)
        self.registry = SimpleNamespace(snapshot=SimpleNamespace(rows={}), refresh=self._refresh)
        log = SimpleNamespace(epoch=EPOCH, write=self._write)
        settings = SimpleNamespace(heartbeat=60.0, missed_heartbeats=3)
        runtime: Any = SimpleNamespace(path=ME, log=log, settings=settings, spawn=self._spawn)
        registry: Any = self.registry
        self.membership = Membership(runtime, registry, Floods(runtime, lambda path: True))
        self._spawned: list[Coroutine[Any, Any, None]] = []

    async def hears(self, child: Source, instance: str) -> None:
        """The child announces itself, and its heart beats."""
        self.log.apply(lambda tx: tx.record([child.seal(cluster("announced", CHILD, tags={}, instance=instance))]))
        self.log.commit()
        await self._refresh([CHILD])
        beat = Heartbeat.model_construct(path=CHILD, instance=instance, time=now())
        self.membership.children[CHILD] = Child(instance, time.monotonic(), beat)
        for _ in range(2):
            self.membership.look()
            while self._spawned:
                await self._spawned.pop()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._spawned.append(work)

    async def _refresh(self, paths: list[str]) -> None:
        rows = {path: self.log.query(lambda log, path=path: log.cluster(path)) for path in paths}  # type: ignore[misc]
        self.registry.snapshot.rows.update(rows)

    async def _write(self, op: Any) -> None:
        await asyncio.sleep(0)
        self.log.apply(op)
        self.log.commit()

    @property
    def said(self) -> list[tuple[str, Any]]:
        events = [stored.event for stored in self.log.query(lambda log: log.events()) if stored.event.source == ME]
        return [(event.type, event.data.get("of")) for event in events]


async def test_of_each_life_of_a_child_it_is_said_once_that_it_is_there() -> None:
    """Others may hold that the life before was elsewhere, of which this parent has not heard."""
    parent = Parent()
    await parent.hears(Source(CHILD), "1")
    assert parent.said == [(JOINED, None)]
    await parent.hears(Source(CHILD, LATER), "2")
    assert parent.said == [(JOINED, None), (ONLINE, {"epoch": LATER, "seq": 0})]

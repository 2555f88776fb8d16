"""Guests of a tier: what it says of them, as they come, fall silent, leave and come back."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from bus.event import Draft, Event
from bus.types import OFFLINE, ONLINE
from services.controller.links.guests import Guests, Knock
from store.memory import MemoryLog
from tests.support import eventually
from tests.unit.store.samples import EPOCH, LATER

ME = "root.b"
SITE = Knock(path="root.a.site", instance="1", epoch="00000001.ab", seq=7)


class Host:
    """A tier that takes guests in, on a log of its own."""

    def __init__(self, epoch: str = EPOCH) -> None:
        self.log: MemoryLog[Event] = MemoryLog(ME, epoch=epoch)

    async def starts(self) -> Guests:
        """Its guests, after a start on what its log holds."""
        settings = SimpleNamespace(guests=5, heartbeat=0.01, missed_heartbeats=3)
        log = SimpleNamespace(epoch=self.log.epoch, read=self._read)
        bus = SimpleNamespace(subscribe=lambda *_: asyncio.sleep(0))
        runtime: Any = SimpleNamespace(path=ME, settings=settings, append_later=self._append, log=log, bus=bus)
        kin: Any = SimpleNamespace(drained=False)
        guests = Guests(runtime, kin)
        await guests.start()
        return guests

    async def _read(self, fn: Any) -> Any:
        return self.log.query(fn)

    def _append(self, draft: Draft) -> None:
        self.log.apply(lambda tx: tx.append(draft))
        self.log.commit()

    @property
    def said(self) -> list[tuple[str, dict[str, Any]]]:
        return [(stored.event.type, dict(stored.event.data)) for stored in self.log.query(lambda log: log.events())]

    async def misses(self, guests: Guests) -> None:
        """Notices that its guest is silent."""
        watching = asyncio.create_task(guests.run())
        await eventually(lambda: self.said and self.said[-1][0] == OFFLINE, what="its silence is noticed")
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    def has_said(self, *kinds: str) -> None:
        assert [kind for kind, _ in self.said] == list(kinds)
        of = {"epoch": SITE.epoch, "seq": SITE.seq}
        assert self.said[-1][1] == {"path": SITE.path, "attached_to": ME, "of": of}


async def test_a_guest_that_fell_silent_left_and_came_back_is_said_to_be_there() -> None:
    host = Host()
    guests = await host.starts()
    assert guests._answer(SITE).admitted
    await host.misses(guests)
    guests._answer(SITE.model_copy(update={"leaving": True}))
    # It found nobody elsewhere: its last word on where it is, is the one that it had said before.
    for _ in range(2):
        assert guests._answer(SITE).admitted
    host.has_said(OFFLINE, ONLINE)


async def test_a_guest_that_fell_silent_is_said_to_be_there_by_a_host_that_died_meanwhile() -> None:
    host = Host()
    before = await host.starts()
    assert before._answer(SITE).admitted
    await host.misses(before)
    after = await host.starts()
    for _ in range(2):
        assert after._answer(SITE).admitted
    host.has_said(OFFLINE, ONLINE)
    assert (await host.starts())._answer(SITE).admitted
    host.has_said(OFFLINE, ONLINE)


async def test_a_host_that_lost_its_log_says_again_that_its_guest_is_there() -> None:
    host = Host(LATER)
    for _ in range(2):
        assert (await host.starts())._answer(SITE).admitted
    host.has_said(ONLINE)


async def test_a_host_that_stood_still_hears_first_what_was_said_meanwhile() -> None:
    host = Host()
    guests = await host.starts()
    assert guests._answer(SITE).admitted
    watching = asyncio.create_task(guests.run())
    await asyncio.sleep(0)
    time.sleep(0.1)  # noqa: ASYNC251  # the whole process stands still
    for _ in range(5):
        await asyncio.sleep(0)  # it looks
    assert guests._answer(SITE).admitted
    assert host.said == []
    await host.misses(guests)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching

"""A shim that hangs, and more work than its host holds: the rest waits in the log, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

from bus.client import Bus, Message, NoAnswer
from services.shims import asking, host
from tests.integration.tiers import LocalTier, Tiers
from tests.support import eventually

SITE = "root.site1"
MOST, AT_ONCE, COMMANDS, LANES = 12, 4, 60, 20


class SlowShim:
    """Answers a command only once it is `released`; `seen` are the numbers that came, in order."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.released = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, bus: Bus) -> None:
        await bus.subscribe("ote.local.shim.slow.execute", self._take)
        await bus.subscribe("ote.local.shim.slow.describe", self._describe)
        await bus.flush()

    def _describe(self, message: Message) -> None:
        verbs = {"set": {"idempotent": True}, "bump": {"idempotent": False}}
        message.respond(json.dumps({"kind": "slow", "verbs": verbs}).encode())

    def _take(self, message: Message) -> None:
        self.seen.append(json.loads(message.data)["args"]["number"])
        self._tasks.add(asyncio.create_task(self._answer(message)))

    async def _answer(self, message: Message) -> None:
        await self.released.wait()
        # The host that asked may have stopped meanwhile.
        with suppress(NoAnswer):
            message.respond(b'{"ok": true}')


@pytest.fixture
async def slow(tiers: Tiers, monkeypatch: pytest.MonkeyPatch) -> tuple[LocalTier, LocalTier, SlowShim]:
    """A root, a site whose host holds little, and its shim."""
    monkeypatch.setattr(host, "MOST", MOST)
    monkeypatch.setattr(asking, "AT_ONCE", AT_ONCE)
    root = await tiers.grow("root", shims=())
    site = await tiers.grow(SITE, root, shims=("slow",))
    shim = SlowShim()
    await shim.serve(site.bus)
    return root, site, shim


async def send(root: LocalTier, number: int, verb: str = "set", **more: Any) -> str:
    do = {"shim": "slow", "verb": verb, "args": {"number": number}}
    answer = await root.submit(SITE, do, **({"lane": f"l{number % LANES}"} | more))
    return str(answer["id"])


def by_lane(numbers: list[int]) -> list[list[int]]:
    return [[number for number in numbers if number % LANES == lane] for lane in range(LANES)]


async def test_what_does_not_fit_waits_in_the_log(slow: tuple[LocalTier, LocalTier, SlowShim]) -> None:
    root, site, shim = slow
    ids = [await send(root, number) for number in range(COMMANDS)]
    await root.becomes(ids[-1], SITE, "received")
    await eventually(lambda: len(shim.seen) == AT_ONCE, what="the shim has as much as it is asked at once")
    assert len(site.host._queue) == MOST
    # What waits in the log can still be cancelled, replaced, and expire, though the shim hangs.
    await root.ask("cancel", {"id": ids[50]})
    await root.becomes(ids[50], SITE, "cancelled")
    old, new = await send(root, 70, key="k"), await send(root, 71, key="k")
    await root.becomes(old, SITE, "superseded")
    late = await send(root, 72, ttl=0.05)
    assert (len(shim.seen), len(site.host._queue)) == (AT_ONCE, MOST)
    shim.released.set()
    for id in [*ids[:50], *ids[51:], new]:
        await root.becomes(id, SITE, "succeeded", 20)
    await root.becomes(late, SITE, "expired")
    expected = [*(number for number in range(COMMANDS) if number != 50), 71]
    assert by_lane(shim.seen) == by_lane(expected)
    # From here on mail goes to the host directly.
    assert not site.host._backlog.is_behind
    await root.becomes(await send(root, 99), SITE, "succeeded")


async def test_a_restart_goes_on_with_what_waits(slow: tuple[LocalTier, LocalTier, SlowShim]) -> None:
    root, site, shim = slow
    ids = [await send(root, number, "bump", lane=f"l{number}") for number in range(COMMANDS)]
    await root.becomes(ids[-1], SITE, "received")
    await eventually(lambda: len(shim.seen) == AT_ONCE, what="the shim has as much as it is asked at once")
    await site.stop()
    begun = list(shim.seen)
    shim.released.set()
    await site.start()
    await root.sees(SITE, "online")
    # The new connection of the test is one of the new server: the shim comes back later than the host.
    await shim.serve(site.bus)
    for number, id in enumerate(ids):
        await root.becomes(id, SITE, "in-doubt" if number in begun else "succeeded", 20)
    assert Counter(shim.seen) == Counter(range(COMMANDS))
    assert not site.host._backlog.is_behind

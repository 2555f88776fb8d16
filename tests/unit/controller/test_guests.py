"""Guests of a tier: what it says of them, as they come, fall silent, leave and come back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from bus.event import Draft
from bus.types import OFFLINE, ONLINE
from services.controller.links.guests import Guests, Knock
from tests.support import eventually

SITE = Knock(path="root.a.site", instance="1", epoch="00000001.ab", seq=7)


async def test_a_guest_that_fell_silent_left_and_came_back_is_said_to_be_there() -> None:
    said: list[Draft] = []
    settings = SimpleNamespace(guests=5, heartbeat=0.01, missed_heartbeats=3)
    runtime: Any = SimpleNamespace(path="root.b", settings=settings, append_later=said.append)
    kin: Any = SimpleNamespace(drained=False)
    guests = Guests(runtime, kin)
    assert guests._answer(SITE).admitted
    watching = asyncio.create_task(guests.run())
    await eventually(lambda: [draft.type for draft in said] == [OFFLINE], what="its silence is noticed")
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    guests._answer(SITE.model_copy(update={"leaving": True}))
    # It found nobody elsewhere: its last word on where it is, is the one that it had said before.
    for _ in range(2):
        assert guests._answer(SITE).admitted
    assert [draft.type for draft in said] == [OFFLINE, ONLINE]
    assert said[-1].data == {"path": SITE.path, "attached_to": "root.b", "of": {"epoch": SITE.epoch, "seq": SITE.seq}}

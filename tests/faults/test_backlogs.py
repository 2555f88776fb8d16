"""What one has to wait for, others do not: behind a link that loses and carries next to nothing, behind a site that was
away for long, behind a shim that hangs, or talks nonsense. What waited is done when it can be.

Who waits is told by what has ended when, and by what went over which link: not by clocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bus import subjects
from bus.client import Message
from bus.event import new_id
from tests.faults.kit import ONCE
from tests.faults.load import local
from tests.faults.world import World
from tests.support import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

BAD, GOOD = "root.a.x", "root.a.y"
#: 64 kbit/s, half a second there and back, every fiftieth piece lost.
RATE, DELAY, LOSS = 8_000, 0.25, 0.02
#: What a tier may need for work that is under way (bytes).
ROOM = 96_000_000
PATIENCE = 60.0


async def passes(world: World, count: int = 10) -> None:
    """Returns when commands to the good neighbour, from everywhere above it, are done."""
    sent = [await world.load.submit(origin, GOOD) for _ in range(count // 2) for origin in ("root", "root.a")]
    await eventually(lambda: world.done(*sent), PATIENCE, what="the neighbour is served")


def large(size: int) -> dict[str, Any]:
    """A command of so many bytes, on an object of its own."""
    do = local(new_id(), 0)
    do["args"]["manifest"]["data"]["filler"] = "x" * size
    return do


async def test_a_link_that_carries_next_to_nothing_holds_up_nobody(shared: World) -> None:
    link = shared.tree.links[BAD]
    link.rate, link.delay, link.loss = RATE, DELAY, LOSS
    slow = [await shared.load.submit("root", "tag:site") for _ in range(20)]
    await passes(shared)
    assert not set(slow) <= shared.finals_at(BAD)
    await eventually(lambda: shared.done(*slow), PATIENCE, what="also over the slow link all is done")
    # An outage on top of it is mended over the same link.
    await shared.cut_off(BAD)
    slow = [await shared.load.submit("root", "tag:site") for _ in range(20)]
    await link.heal()
    await passes(shared)
    await eventually(lambda: shared.done(*slow), PATIENCE, what="what an outage held back comes over the slow link")
    await shared.tree.heal(BAD)
    await shared.at_rest()


async def test_what_somebody_waits_for_goes_ahead_of_a_backlog(shared: World) -> None:
    """A site was away for long and has much to tell; over its narrow link the word on a command comes first."""
    link = shared.tree.links[BAD]
    await shared.cut_off(BAD)
    for _ in range(400):
        await shared.load.submit(BAD, BAD, large(3_000))
    asked = await shared.load.submit("root", BAD)
    before = link.up.sent
    link.rate = 200_000
    await link.heal()
    await eventually(lambda: shared.done(asked) and shared.received(asked), PATIENCE, what="the root knows of the one")
    first = link.up.sent - before
    await passes(shared)
    await shared.tree.heal(BAD)
    await shared.at_rest()
    everything = link.up.sent - before
    assert first < everything / 2, f"{first:,} of {everything:,} bytes went before it"


async def test_a_shim_that_hangs_holds_up_nothing_else_at_its_site(shared: World) -> None:
    tier, asked = shared[BAD], list[Message]()
    assert tier.bus is not None
    shim = await tier.bus.subscribe(subjects.shim("nobody", "execute"), asked.append)
    await tier.bus.flush()
    before = tier.memory
    do = {"shim": "nobody", "verb": "wait"}
    stuck = [await shared.load.submit("root", BAD, do, lane=f"lane{n}") for n in range(300)]
    others = [await shared.load.submit("root", BAD) for _ in range(20)]
    await passes(shared)
    await eventually(lambda: shared.done(*others), PATIENCE, what="the other shim of the site goes on")
    assert not set(stuck) & shared.finals_at(BAD)
    # What the shim has not begun can still be called off.
    await shared["root"].call("cancel", {"id": stuck[-1]}, ONCE)
    await eventually(lambda: shared.done(stuck[-1]), PATIENCE, what="what has not begun is called off")
    assert shared.finals(stuck[-1], BAD) == ["cancelled"]
    assert len(asked) < len(stuck)
    assert tier.memory - before < ROOM

    def goes_on() -> bool:
        while asked:
            asked.pop().respond(b'{"ok": true}')
        return shared.done(*stuck)

    await eventually(goes_on, PATIENCE, what="the shim goes on")
    assert {shared.finals(command, BAD)[-1] for command in stuck[:-1]} == {"succeeded"}
    await shim.end()
    await shared.at_rest()


def _deep(message: Message) -> None:
    message.respond(b"[" * 200_000)


def _noise(message: Message) -> None:
    message.respond(bytes(range(256)) * 100)


def _flood(message: Message) -> None:
    for _ in range(200):
        message.respond(b'{"ok": "maybe"}')


def _huge(message: Message) -> None:
    message.respond(b'{"ok": true, "result": {"filler": "%s"}}' % (b"x" * 1_048_000))


def _furious(message: Message) -> None:
    message.respond(b'{"ok": false, "error": {"code": "no", "message": "%s"}}' % (b"x" * 1_048_500))


@pytest.mark.parametrize("nonsense", [_deep, _noise, _flood, _furious, _huge])
async def test_a_shim_that_talks_nonsense_fails_its_own_commands_alone(
    shared: World, nonsense: Callable[[Message], None]
) -> None:
    tier = shared[BAD]
    assert tier.bus is not None
    shim = await tier.bus.subscribe(subjects.shim("nobody", "execute"), nonsense)
    await tier.bus.flush()
    sent = [await shared.load.submit("root", BAD, {"shim": "nobody", "verb": "say"}) for _ in range(5)]
    await eventually(lambda: shared.done(*sent), PATIENCE, what="they end")
    await passes(shared)
    ends = {shared.finals(command, BAD)[-1] for command in sent}
    # What is too large does not travel: the result says how large it was.
    assert ends == {"succeeded" if nonsense is _huge else "failed"}
    assert await eventually(lambda: shared.received(*sent), PATIENCE, what="the root has heard of them")
    await shim.end()
    shim = await tier.bus.subscribe(
        subjects.shim("nobody", "execute"), lambda message: message.respond(b'{"ok": true}')
    )
    await tier.bus.flush()
    well = await shared.load.submit("root", BAD, {"shim": "nobody", "verb": "say"})
    await eventually(lambda: shared.done(well), PATIENCE, what="a shim that is well is served")
    assert shared.finals(well, BAD) == ["succeeded"]
    await shim.end()
    await shared.at_rest()

"""Frames that are doubled, come in another order, or do not come at all."""

from __future__ import annotations

import random

import pytest

from bus import subjects, wire
from tests.faults.echo import echoing
from tests.faults.traps import SKIP, Trap
from tests.faults.world import World
from tests.support import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


async def test_all_frames_come_again_and_out_of_order(shared: World) -> None:
    async with echoing(shared.tree, random.Random(7)) as echoes:
        for _ in range(5):
            shared.load.burst()
            await shared.load.told()
        await eventually(lambda: min(echo.repeated for echo in echoes) > 20, what="every server has heard doubles")
        await shared.at_rest()


@pytest.mark.parametrize("order", [(3, 2, 1, 0), (1, 3, 0, 2)])
async def test_mail_that_comes_in_another_order_is_carried_out_in_order(shared: World, order: tuple[int, ...]) -> None:
    """While the link is cut nothing can repair: only what is injected brings the mail."""
    await shared.cut_off("root.a.x")
    commands = [await shared.load.submit("root", "root.a.x") for _ in order]
    root, site = shared.logs["root"], shared["root.a.x"]
    root.refresh()
    sent = [next(event for event in root.mail if event.data["command"] == command) for command in commands]
    assert site.bus is not None
    for place in order:
        frame = wire.pack([sent[place].body])
        for _ in range(2):
            site.bus.send(subjects.command("root.a.x"), frame, wire.EVENTS_HEADERS)
    await eventually(lambda: shared.done(*commands), what="the site has carried out what was injected")
    await shared.at_rest()


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("root", "send cmd"),
        ("root", "send tag"),
        ("root.a", "send evt"),
        ("root.a.x", "send evt"),
    ],
)
async def test_what_was_not_pushed_is_repaired(shared: World, path: str, step: str) -> None:
    traps = [Trap(f"before {step}", SKIP) for _ in range(3)]
    for trap in traps:
        await shared.sprung({path: trap})
    await shared.at_rest()


async def test_a_lost_push_is_mended_as_soon_as_the_next_shows_the_gap(shared: World) -> None:
    trap = shared["root"].lay(Trap("before send cmd", SKIP))
    await shared.load.submit("root", "root.a.x")
    await shared.went_off(trap, "root")
    command = await shared.load.submit("root", "root.a.x")
    await eventually(lambda: shared.done(command), what="the gap is mended")
    await shared.at_rest()

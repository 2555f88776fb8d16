"""What is in doubt, and the word of a person that ends it."""

from __future__ import annotations

import pytest

from bus.errors import Unavailable
from tests.faults.kit import ONCE
from tests.faults.load import bump
from tests.faults.traps import Trap
from tests.faults.world import World
from tests.support import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

SITE = "root.a.x"
ENDS = {"done": "succeeded", "failed": "failed", "retry": "succeeded"}


async def _in_doubt(world: World) -> str:
    """A command that was begun by a tier that then died, of which the root has heard."""
    trap = world[SITE].lay(Trap("after execute counter"))
    command = await world.load.submit("root", SITE, bump())
    await world.went_off(trap, SITE)
    await world[SITE].start()
    await eventually(lambda: _is(world, command, "in-doubt"), what="the root knows of the doubt")
    return command


async def _is(world: World, command: str, state: str) -> bool:
    try:
        answer = await world["root"].call("command", {"id": command})
    except Unavailable as error:
        raise AssertionError(error) from error  # not yet
    return bool(answer["targets"][SITE]["state"] == state)


async def _resolve(world: World, command: str, verdict: str) -> None:
    await world["root"].call("resolve", {"id": command, "target": SITE, "as": verdict}, ONCE)


@pytest.mark.parametrize("verdict", ENDS)
async def test_a_verdict_reaches_a_site_that_was_away(shared: World, verdict: str) -> None:
    command = await _in_doubt(shared)
    await shared.cut_off(SITE)
    await _resolve(shared, command, verdict)
    await shared.tree.links[SITE].heal()
    await eventually(lambda: _is(shared, command, ENDS[verdict]), what="the doubt ends")
    await shared.at_rest()


@pytest.mark.parametrize("verdict", ENDS)
async def test_a_verdict_outlives_the_death_of_its_target(shared: World, verdict: str) -> None:
    command = await _in_doubt(shared)
    step = {"done": "before commit succeeded", "failed": "before commit failed", "retry": "before commit started"}
    trap = shared[SITE].lay(Trap(step[verdict]))
    await _resolve(shared, command, verdict)
    await shared.went_off(trap, SITE)
    await shared[SITE].start()
    await eventually(lambda: _is(shared, command, ENDS[verdict]), what="the doubt ends")
    await shared.at_rest()


async def test_a_retry_that_dies_stays_in_doubt_and_is_not_begun_a_third_time(shared: World) -> None:
    command = await _in_doubt(shared)
    trap = shared[SITE].lay(Trap("after execute counter"))
    await _resolve(shared, command, "retry")
    await shared.went_off(trap, SITE)
    await shared[SITE].start()
    await shared.load.submit("root", SITE, bump())
    await shared.at_rest()
    assert shared.finals(command, SITE) == ["in-doubt"]
    await _resolve(shared, command, "failed")
    await eventually(lambda: _is(shared, command, "failed"), what="the doubt ends")
    await shared.at_rest()


@pytest.mark.parametrize("verdicts", [["done", "done"], ["failed", "done"], ["retry", "done"], ["retry", "retry"]])
async def test_of_several_verdicts_at_once_one_counts(shared: World, verdicts: list[str]) -> None:
    command = await _in_doubt(shared)
    await shared.cut_off(SITE)
    for verdict in verdicts:
        await _resolve(shared, command, verdict)
    await shared.tree.links[SITE].heal()
    await eventually(lambda: _is(shared, command, ENDS[verdicts[0]]), what="the doubt ends")
    await shared.at_rest()

"""kill -9 at each step of a command's life: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import pytest

from tests.faults.traps import KILL, KILL_ALL, Trap
from tests.faults.world import World

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

#: For each tier the steps at which it is killed while commands fly over links that are up.
PUSHED = {
    "root": [
        "before commit submitted of root",
        "after commit submitted of root",
        "after publish submitted",
        "before event succeeded",
        "before commit succeeded",
        "after commit succeeded",
    ],
    "root.a": [
        "before mail",
        "after mail",
        "before commit submitted of root",
        "after commit submitted of root",
        "before commit submitted of root.a",
        "after publish submitted",
        "after publish stored",
        "before commit succeeded",
        "after commit succeeded",
    ],
    "root.a.x": [
        "before mail",
        "after mail",
        "before commit received",
        "after commit received",
        "before commit started",
        "after commit started",
        "before execute local",
        "after execute local",
        "before execute counter",
        "after execute counter",
        "before commit succeeded",
        "after commit succeeded",
        "after publish succeeded",
    ],
}

#: Whose way up was cut, who is killed when it is healed, and at which step of the repair.
MENDED = [
    ("root.a.x", "root.a", "before answer hello"),
    ("root.a.x", "root.a", "before answer mail"),
    ("root.a.x", "root.a", "after answer mail"),
    ("root.a.x", "root.a", "before answer ship"),
    ("root.a.x", "root.a", "after answer ship"),
    ("root.a.x", "root.a.x", "before take"),
    ("root.a.x", "root.a.x", "after take"),
    ("root.a.x", "root.a.x", "before ask ship"),
    ("root.a.x", "root.a.x", "after ask ship"),
    ("root.a", "root", "after answer mail"),
    ("root.a", "root", "after answer ship"),
    ("root.a", "root.a", "before take"),
    ("root.a", "root.a", "after take"),
    ("root.a", "root.a", "after ask ship"),
]

TOGETHER = list(zip_longest(*PUSHED.values()))
ALONE = [(path, step) for path, steps in PUSHED.items() for step in steps]
ACTIONS = [KILL, KILL_ALL]


@pytest.mark.parametrize("steps", TOGETHER, ids=lambda steps: "; ".join(filter(None, steps)))
async def test_several_are_killed_while_commands_fly(shared: World, steps: Sequence[str | None]) -> None:
    turn = TOGETHER.index(tuple(steps))
    at = [(path, step) for path, step in zip(PUSHED, steps, strict=True) if step is not None]
    await shared.sprung({path: Trap(step, ACTIONS[(turn + place) % 2]) for place, (path, step) in enumerate(at)})
    await shared.at_rest()


@pytest.mark.long
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(("path", "step"), ALONE)
async def test_one_is_killed_while_commands_fly(shared: World, path: str, step: str, action: str) -> None:
    await shared.sprung({path: Trap(step, action)})
    await shared.at_rest()


@pytest.mark.parametrize(
    ("child", "path", "step", "action"),
    [
        pytest.param(*case, action, marks=() if number % 2 == place else pytest.mark.long)
        for number, case in enumerate(MENDED)
        for place, action in enumerate(ACTIONS)
    ],
)
async def test_one_is_killed_while_a_gap_is_mended(
    shared: World, child: str, path: str, step: str, action: str
) -> None:
    await shared.cut_off(child)
    shared.load.burst()
    await shared.load.told()
    trap = shared[path].lay(Trap(step, action))
    await shared.tree.links[child].heal()
    await shared.went_off(trap, path)
    await shared.at_rest()


async def test_killed_again_while_it_comes_back(shared: World) -> None:
    """A start is a step as well: what it takes up again must not be lost by a second death."""
    tier = shared["root.a.x"]
    await shared.sprung({"root.a.x": Trap("after commit started")})
    for step in ("before commit in-doubt", "after commit in-doubt", "before commit announced", "after ask hello"):
        trap = tier.lay(Trap(step))
        await tier.begin()
        await shared.went_off(trap, "root.a.x")
    await shared.at_rest()

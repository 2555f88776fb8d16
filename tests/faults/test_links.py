"""Links that are cut, or hang, at each step of a command's life; and heal."""

from __future__ import annotations

from itertools import product

import pytest

from leafnodes.proxy import LinkProxy
from tests.faults.kit import ONCE
from tests.faults.traps import STOP, Trap
from tests.faults.world import World
from tests.support import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

#: How a link fails: it is cut; it hangs, and what it held back arrives; it hangs, and that is lost.
BREAKS = ["cut", "hang", "lose"]

#: Who stands still at which step, while the link of whom fails.
FLYING = [
    ("root", "before publish submitted", "root.a"),
    ("root", "after publish submitted", "root.a"),
    ("root.a", "before mail", "root.a.x"),
    ("root.a", "after commit submitted of root", "root.a"),
    ("root.a", "before event succeeded", "root.a.x"),
    ("root.a.x", "after mail", "root.a.x"),
    ("root.a.x", "after commit received", "root.a"),
    ("root.a.x", "before execute counter", "root.a.x"),
    ("root.a.x", "before execute local", "root.a"),
    ("root.a.x", "after commit succeeded", "root.a.x"),
    ("root.a.x", "after publish succeeded", "root.a"),
]
#: The same, while what an outage has left is mended.
MENDING = [
    ("root.a", "after answer compare", "root.a.x"),
    ("root.a", "after answer mail", "root.a.x"),
    ("root.a", "after answer ship", "root.a.x"),
    ("root.a.x", "before ask held", "root.a.x"),
    ("root.a.x", "after ask mail", "root.a.x"),
    ("root.a", "after take", "root.a"),
]


def _every_third(cases: list[tuple[str, str, str]]) -> list[object]:
    """Each step with one way to fail; the others take their time."""
    return [
        pytest.param(*case, how, marks=() if number % len(BREAKS) == place else pytest.mark.long)
        for (number, case), (place, how) in product(enumerate(cases), enumerate(BREAKS))
    ]


async def _fail(link: LinkProxy, how: str) -> None:
    await (link.cut() if how == "cut" else link.hang())


async def _outage(world: World, path: str, link: LinkProxy, how: str) -> None:
    """While the tier stands still its link fails; then all go on without the link."""
    await _fail(link, how)
    world[path].thaw()
    world.load.burst()
    await world.load.told()
    if how == "lose":
        await link.cut()


@pytest.mark.parametrize(("path", "step", "child", "how"), _every_third(FLYING))
async def test_a_link_fails_while_commands_fly(shared: World, path: str, step: str, child: str, how: str) -> None:
    await shared.sprung({path: Trap(step, STOP)})
    await _outage(shared, path, shared.tree.links[child], how)
    await shared.at_rest()


@pytest.mark.parametrize(("path", "step", "child", "how"), _every_third(MENDING))
async def test_a_link_fails_while_a_gap_is_mended(shared: World, path: str, step: str, child: str, how: str) -> None:
    await shared.cut_off(child)
    shared.load.burst()
    await shared.load.told()
    trap = shared[path].lay(Trap(step, STOP))
    await shared.tree.links[child].heal()
    await shared.went_off(trap, path)
    await _outage(shared, path, shared.tree.links[child], how)
    await shared.at_rest()


async def test_a_region_and_a_site_are_away_at_once(shared: World) -> None:
    for child in ("root.a", "root.a.x"):
        await shared.cut_off(child)
    shared.load.burst()
    await shared.load.told()
    await shared.tree.links["root.a.x"].heal()
    shared.load.burst()
    await shared.at_rest()


async def test_what_is_taken_back_again_and_again_ends_once(shared: World) -> None:
    """One waits for its shim, the other for the one; all that takes them back comes at the same moment."""
    commands = [await shared.load.submit("root", "root.a.x", {"shim": "nobody", "verb": "wait"}) for _ in range(2)]
    await eventually(lambda: shared.received(*commands), what="the site has received both")
    await shared.cut_off("root.a.x")
    for command in commands * 3:
        await shared["root"].call("cancel", {"id": command}, ONCE)
    await shared.at_rest()

"""Servers that are killed, and tiers that stand still, while commands fly."""

from __future__ import annotations

import pytest

from tests.faults.kit import SMALL
from tests.faults.load import bump
from tests.faults.traps import STOP, Trap
from tests.faults.world import World
from tests.support import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

STEPS = [
    ("root", "after commit submitted of root"),
    ("root.a", "before mail"),
    ("root.a.x", "after execute counter"),
    ("root.a.x", "after commit succeeded"),
    ("root.a", "after event succeeded"),
]


@pytest.mark.parametrize("path", SMALL)
async def test_a_server_is_killed_while_commands_fly(shared: World, path: str) -> None:
    shared.load.burst()
    shared[path].kill_server()
    shared.load.burst()
    await eventually(shared[path].server, what=f"{path} starts its server again")
    await shared.at_rest()


@pytest.mark.parametrize(("path", "step"), STEPS)
async def test_a_server_is_killed_at_a_step(shared: World, path: str, step: str) -> None:
    await shared.sprung({path: Trap(step, STOP)})
    shared[path].kill_server()
    shared[path].thaw()
    await shared.at_rest()


async def test_all_servers_are_killed_at_once(shared: World) -> None:
    shared.load.burst()
    for tier in shared.tree.tiers.values():
        tier.kill_server()
    await shared.at_rest()


async def test_everything_is_killed_at_once(shared: World) -> None:
    shared.load.burst()
    for tier in shared.tree.tiers.values():
        tier.kill_server()
        await tier.kill()
    await shared.at_rest()


@pytest.mark.parametrize("path", ["root.a", "root.a.x"])
async def test_a_tier_stands_still_until_it_is_missed(shared: World, path: str) -> None:
    shared.load.burst()
    shared[path].freeze()
    await eventually(lambda: _is_offline(shared, path), what=f"{path} is missed")
    for origin in ("root", "root.a", "root.a.x"):
        if origin != path:
            shared.load.soon(origin, "root.a.x")
    shared[path].thaw()
    await shared.at_rest()
    await shared.tree.joined()


async def _is_offline(world: World, path: str) -> bool:
    answer = await world[path.rpartition(".")[0]].call("clusters", {"select": path})
    return bool(answer["clusters"][0]["state"] == "offline")


async def test_the_root_stands_still_and_the_rest_goes_on(shared: World) -> None:
    shared["root"].freeze()
    command = await shared.load.submit("root.a", "tag:site")
    await eventually(lambda: _is_done(shared, command), what="the region goes on by itself")
    shared["root"].thaw()
    await shared.at_rest()


async def _is_done(world: World, command: str) -> bool:
    answer = await world["root.a"].call("command", {"id": command})
    return bool(answer["summary"] == {"succeeded": 2})


async def test_a_shim_dies_over_a_command(shared: World) -> None:
    """Nobody knows how it ended; what waits behind it goes on, and what is for the shim waits for its return."""
    dying = await shared.load.submit("root", "root.a.x", {"shim": "counter", "verb": "die"}, ttl=1.0)
    local, other = await shared.load.submit("root", "root.a.x"), await shared.load.submit("root", "root.a.x", bump())
    await eventually(lambda: shared.done(dying, local), what="the site goes on without the shim")
    assert shared.finals(dying, "root.a.x") == ["in-doubt"]
    assert not shared.done(other)
    await shared.tree.count("root.a.x")
    await shared.at_rest()

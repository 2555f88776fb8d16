"""The disk under a tier is full: it refuses new commands and says why, goes on with what needs no disk, and takes
everything up again when there is room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from bus.errors import NotFound, Unavailable
from bus.event import new_id, parse_time
from tests.faults import disks
from tests.faults.kit import ONCE, Tier
from tests.faults.load import local
from tests.faults.world import World
from tests.support import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

#: Ten heartbeats; a child may miss three (seconds).
MISSED = 2.0


@contextmanager
def no_room(tier: Tier) -> Iterator[None]:
    """What a full disk does to this tier's process, without one."""
    disks.fill(tier.pid)
    try:
        yield
    finally:
        if tier.runs:
            disks.make_room(tier.pid)


async def refused(tier: Tier) -> dict[str, str]:
    """What it says to a new command, which must not be that it is accepted."""
    with pytest.raises(Unavailable) as told:
        await tier.call("submit", {"id": new_id(), "to": "tag:site", "do": local(new_id(), 0)}, ONCE)
    return {"message": told.value.message, "hint": told.value.hint or ""}


async def trouble(tier: Tier) -> str | None:
    answer = await tier.call("status", {}, ONCE)
    found: str | None = answer["log"]["trouble"]
    return found


async def test_a_tier_without_room_refuses_commands_and_says_why(shared: World) -> None:
    tier = shared["root.a.x"]
    before = (await tier.call("status", {}, ONCE))["log"]["events"]
    with no_room(tier):
        told = await refused(tier)
        assert "the log was not written" in told["message"]
        assert "disk" in told["hint"]
        assert "not written" in (await trouble(tier) or "")
        # What is there is still told, and nothing that was refused is among it.
        status = await tier.call("status", {}, ONCE)
        assert status["log"]["events"] <= before
        assert await tier.call("commands", {}, ONCE)
    accepted = await shared.load.submit("root.a.x", "root.a.x")
    await eventually(lambda: shared.done(accepted), what="it accepts and carries out commands again")
    assert await trouble(tier) is None
    await shared.at_rest()


UNKNOWN = {
    "submit": {"id": new_id(), "to": "tag:nobody", "do": local(new_id(), 0)},
    "retry": {"id": new_id(), "target": "root.a.x"},
}


@pytest.mark.parametrize("name", UNKNOWN)
async def test_a_tier_without_room_says_so_also_of_what_it_does_not_know(shared: World, name: str) -> None:
    """It looks again, over copies that wait for the disk, before it says that there is no such thing."""
    tier = shared["root.a"]
    with no_room(tier):
        shared.load.burst()
        await eventually(lambda: _is_unwritten(tier, name), what="it says that the log can not be written")
    await shared.at_rest()


async def _is_unwritten(tier: Tier, name: str) -> bool:
    try:
        await tier.call(name, UNKNOWN[name], ONCE)
    except NotFound:
        return False  # the copies have not come yet
    except Unavailable as error:
        return "the log was not written" in error.message
    raise RuntimeError("it is accepted")


@pytest.mark.parametrize("path", ["root", "root.a", "root.a.x"])
async def test_what_flies_while_a_tier_has_no_room_arrives_later(shared: World, path: str) -> None:
    shared.load.burst()
    with no_room(shared[path]):
        await refused(shared[path])
        shared.load.burst()
        # Heartbeats are missed, children come and go: nothing of it may end a tier that can not write it down.
        for child in ("root.a", "root.a.x"):
            if child.rpartition(".")[0] == path:
                await shared.cut_off(child)
                await eventually(lambda: _is_missed(shared, path, child), what=f"{path} misses {child}")
                await shared.tree.links[child].heal()
        await refused(shared[path])
        assert shared[path].runs
    await shared.at_rest()


async def _is_missed(world: World, path: str, child: str) -> bool:
    """Whether the tier has not heard of its child for so long that it must have tried to record it."""
    answer = await world[path].call("clusters", {"select": child})
    last_seen = parse_time(answer["clusters"][0]["last_seen"])
    return (datetime.now(UTC) - last_seen).total_seconds() > MISSED


async def test_a_tier_that_is_killed_without_room_starts_when_there_is_some(shared: World) -> None:
    tier = shared["root.a.x"]
    with no_room(tier):
        shared.load.burst()
        await refused(tier)
        await tier.kill()
    await tier.start()
    await shared.at_rest()

"""What may overlap at one target and what may not, with a shim on the bus whose answers the test holds back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.gate import Gate
from tests.integration.tiers import LocalTier, Tiers, config
from tests.support import eventually

SITE = "root.site"


@pytest.fixture
async def root(tiers: Tiers) -> LocalTier:
    root = await tiers.grow("root", shims=())
    await tiers.grow(SITE, root, shims=["gate"])
    return root


@pytest.fixture
async def gate(root: LocalTier, tiers: Tiers) -> AsyncIterator[Gate]:
    async with Gate(tiers[SITE].info["nats"]) as shim:
        yield shim


async def sent(tier: LocalTier, do: dict[str, Any], **more: Any) -> str:
    return str((await tier.submit("site", do, **more))["id"])


async def received(tier: LocalTier, *ids: str) -> None:
    """Returns when the target has them all, executed or not."""

    async def all_there() -> bool:
        states = [(await tier.target(id, SITE))["state"] for id in ids]
        return "accepted" not in states

    await eventually(all_there)


async def test_commands_on_different_objects_overlap_and_on_the_same_never(root: LocalTier, gate: Gate) -> None:
    a1, b1, a2, b2 = [await sent(root, config(name)) for name in ("a", "b", "a", "b")]
    await received(root, a1, b1, a2, b2)
    await gate.holds(a1, b1)
    gate.let(b1)
    await gate.holds(a1, b2)
    gate.let(b2)
    assert (await root.done(b2))["summary"] == {"succeeded": 1}
    assert (await root.target(a2, SITE))["state"] == "received"
    gate.let(a1)
    await gate.holds(a2)
    gate.let(a2)
    await root.done(a2)
    assert [id for id in gate.ids if id in (a1, a2)] == [a1, a2]
    assert len(gate.ids) == 4


async def test_a_command_for_several_objects_waits_for_each_of_them(root: LocalTier, gate: Gate) -> None:
    a, b = [await sent(root, config(name)) for name in ("a", "b")]
    both = [config(name)["args"]["manifest"] for name in ("a", "b")]
    ab = await sent(root, {"verb": "apply", "args": {"manifests": both}})
    c = await sent(root, config("c"))
    await gate.holds(a, b, c)
    gate.let(a)
    await root.done(a)
    assert gate.held == {b, c}
    gate.let(b)
    await gate.holds(ab, c)


async def test_commands_in_one_lane_never_overlap(root: LocalTier, gate: Gate) -> None:
    do = {"verb": "restart", "args": {}}
    x1, y1, x2, y2 = [await sent(root, do, lane=lane) for lane in ("x", "y", "x", "y")]
    await gate.holds(x1, y1)
    gate.let(x1)
    await gate.holds(x2, y1)
    gate.let(y1)
    await gate.holds(x2, y2)
    assert [id for id in gate.ids if id in (x1, x2)] == [x1, x2]


async def test_a_verb_without_a_known_object_runs_alone(root: LocalTier, gate: Gate) -> None:
    a = await sent(root, config("a"))
    alone = await sent(root, {"verb": "reboot"})
    b = await sent(root, config("b"))
    await received(root, a, alone, b)
    await gate.holds(a)
    gate.let(a)
    await gate.holds(alone)
    gate.let(alone)
    await gate.holds(b)
    gate.let(b)
    await root.done(b)
    assert gate.ids == [a, alone, b]


async def test_what_waits_is_cancelled_and_what_runs_is_not(root: LocalTier, gate: Gate) -> None:
    runs, waits, last = [await sent(root, config("a", n=str(n))) for n in range(3)]
    await received(root, runs, waits, last)
    await gate.holds(runs)
    for id in (runs, waits):
        await root.ask("cancel", {"id": id})
    cancelled = await root.done(waits)
    assert cancelled["summary"] == {"cancelled": 1}
    assert (await root.target(runs, SITE))["state"] == "received"
    gate.let(runs)
    assert (await root.done(runs))["summary"] == {"succeeded": 1}
    await gate.holds(last)
    assert waits not in gate.ids


async def test_what_waits_is_superseded_by_a_later_command_with_its_key(root: LocalTier, gate: Gate) -> None:
    first, second, third = [await sent(root, config("a", n=str(n)), key="a") for n in range(3)]
    await gate.holds(first)
    assert (await root.done(second))["summary"] == {"superseded": 1}
    gate.let(first)
    await gate.holds(third)
    gate.let(third)
    assert (await root.done(third))["summary"] == {"succeeded": 1}
    assert gate.ids == [first, third]


async def test_what_a_shim_says_is_what_the_command_tells(root: LocalTier, gate: Gate) -> None:
    ok, failed, odd = [await sent(root, config(name)) for name in ("a", "b", "c")]
    await gate.holds(ok, failed, odd)
    gate.let(ok, {"ok": True, "result": {"pods": 3}})
    gate.let(failed, {"ok": False, "error": {"code": "quota", "message": "no room", "hint": "delete something"}})
    gate.let(odd, {"fine": "maybe"})
    assert (await root.done(ok))["targets"][SITE]["result"] == {"pods": 3}
    error = (await root.done(failed))["targets"][SITE]["error"]
    assert (error["code"], error["message"]) == ("quota", "no room")
    said = (await root.done(odd))["targets"][SITE]
    assert (said["state"], said["error"]["code"]) == ("failed", "bad-answer")


async def test_a_command_waits_for_a_shim_that_is_not_there_yet(root: LocalTier, tiers: Tiers) -> None:
    id = await sent(root, config("a"))
    await received(root, id)
    late = await sent(root, config("b"), ttl=0.5)
    expired = (await root.done(late))["targets"][SITE]
    assert expired["state"] in ("failed", "expired")
    async with Gate(tiers[SITE].info["nats"], open=True) as gate:
        assert (await root.done(id))["summary"] == {"succeeded": 1}
        assert gate.ids == [id]

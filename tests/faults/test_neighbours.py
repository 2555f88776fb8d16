"""Neighbours that misbehave: one that stalls, one on a slow link, a storm of commands. Others are served as ever,
memory stays bounded, and what was acknowledged is done once, in order, when the trouble is over."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bus.errors import Unavailable
from services.cli.demo.audit import audit
from tests.integration.tiers import ProcessTier, Tiers
from tests.support import eventually

pytestmark = pytest.mark.timeout(280)

ROOT, GOOD, BAD = "root", "root.good", "root.bad"
#: 64 kbit/s and half a second there and back.
SLOW_RATE, SLOW_DELAY = 8_000.0, 0.25
MEGABYTE = 1_000_000


@pytest.fixture
async def tree(tmp_path: Path) -> AsyncIterator[Tiers]:
    async with Tiers(tmp_path) as tiers:
        root = await tiers.spawn(ROOT, shims=())
        await tiers.spawn(GOOD, root)
        await tiers.spawn(BAD, root)
        yield tiers


def manifest(name: str, size: int = 10) -> dict[str, Any]:
    whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"x": "y" * size}}
    return {"verb": "apply", "args": {"manifest": whole}}


def memory(tier: ProcessTier) -> float:
    """Bytes that its process has in memory."""
    assert tier.process is not None
    lines = Path(f"/proc/{tier.process.pid}/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024


async def send(tiers: Tiers, to: str, count: int, size: int = 10) -> dict[str, list[str]]:
    """Commands one after the other, to a few objects; what was acknowledged."""
    sent = {}
    for number in range(count):
        answer = await tiers[ROOT].submit(to, manifest(f"o{number % 7}", size))
        sent[answer["id"]] = answer["targets"]
    return sent


async def all_done(tiers: Tiers, deadline: float = 60.0) -> None:
    async def nothing_open() -> bool:
        assert (await tiers[ROOT].ask("status"))["commands"]["open"] == 0
        return True

    await eventually(nothing_open, deadline, what="all is done")


async def audited(tiers: Tiers, acknowledged: dict[str, list[str]]) -> None:
    """Stops the tree and audits it."""
    logs = {path: tiers[path].state / "log.db" for path in (BAD, GOOD, ROOT)}
    for path in logs:
        await tiers[path].stop()
    report = await audit(logs, acknowledged=acknowledged)
    assert report.ok, report.findings[:5]


async def test_a_child_that_stalls_holds_up_nobody(tree: Tiers) -> None:
    """Its server is stopped: connections stay, and nothing is read from them."""
    root, bad = tree[ROOT], tree[BAD]
    assert isinstance(root, ProcessTier)
    before = memory(root)
    os.kill(bad.info["server_pid"], signal.SIGSTOP)
    sent = {}
    try:
        for _ in range(20):
            sent |= await send(tree, BAD, 50, 20_000)
            for number in range(5):
                good = await root.submit(GOOD, manifest(f"g{number}"), wait=30.0)
                assert good["summary"] == {"succeeded": 1}
                sent[good["id"]] = good["targets"]
        assert memory(root) < before + 150 * MEGABYTE
        assert (await root.ask("status"))["commands"]["open"] == 1_000
    finally:
        os.kill(bad.info["server_pid"], signal.SIGCONT)
    await root.sees(BAD, "online", 30)
    await all_done(tree, 120)
    await audited(tree, sent)


async def test_a_slow_link_drains_while_others_are_served(tree: Tiers) -> None:
    root, link = tree[ROOT], tree[BAD].link
    link.rate, link.delay = SLOW_RATE, SLOW_DELAY
    sent = await send(tree, BAD, 25, 3_000)
    good = await send(tree, GOOD, 50)

    async def served() -> int:
        states = [(await root.command(id))["summary"] for id in good]
        assert all(state == {"succeeded": 1} for state in states)
        return int((await root.ask("status"))["commands"]["open"])

    # All of the others' is done while the slow one is still at it.
    assert await eventually(served, what="the others are served")
    await all_done(tree, 120)
    link.rate, link.delay = None, 0.0
    await audited(tree, sent | good)


@pytest.mark.long
async def test_a_storm_is_taken_or_refused_and_nothing_of_it_is_lost(tree: Tiers) -> None:
    root = tree[ROOT]
    assert isinstance(root, ProcessTier)
    before, sent, refused = memory(root), {}, Counter[str]()

    async def one(number: int) -> None:
        try:
            answer = await root.ask("submit", {"to": BAD, "do": manifest(f"s{number % 100}")}, timeout=200.0)
        except Unavailable as error:
            assert error.hint
            refused[error.message] += 1
        else:
            sent[answer["id"]] = answer["targets"]

    await asyncio.gather(*map(one, range(10_000)))
    assert len(sent) + refused.total() == 10_000
    assert memory(root) < before + 250 * MEGABYTE
    good = await root.submit(GOOD, manifest("after"), wait=60.0)
    assert good["summary"] == {"succeeded": 1}
    await all_done(tree, 200)
    await audited(tree, sent)

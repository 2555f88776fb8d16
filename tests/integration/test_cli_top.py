"""`ote top` on a real tier: once, as a stream, and on a terminal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from services.cli.top import rates
from tests.integration.cli import Ote
from tests.integration.tiers import LocalTier, Tiers
from tests.support import eventually


@pytest.fixture
async def root(tiers: Tiers) -> LocalTier:
    root = await tiers.grow("root", shims=())
    await tiers.grow("root.site1", root, tags=["camera"])
    return root


@pytest.fixture
def ote(root: LocalTier, tmp_path: Path) -> Ote:
    return Ote(tmp_path, root.info["nats"])


async def test_once(ote: Ote) -> None:
    ran = await ote("top", "--once", "--interval", "200ms", "-o", "json")
    sample = ran.json()
    assert (ran.code, sample["status"]["path"]) == (0, "root")
    assert [row["path"] for row in sample["tree"]] == ["root", "root.site1"]
    assert set(sample["rates"]) == {"events", "bytes"} and "monotonic" not in sample
    drawn = await ote("top", "--once", "--interval", "200ms")
    assert "events/s" in drawn.lines[0] and drawn.lines[-1] == "└─ site1  camera"
    assert (await ote("top", "--interval", "1ms")).code == 2


async def test_a_stream_until_interrupted(ote: Ote) -> None:
    process = await ote.start("top", "--interval", "200ms", "-o", "json")
    assert process.stdout is not None
    async with asyncio.timeout(30):
        samples = [json.loads(await process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert [sample["status"]["path"] for sample in samples] == ["root"] * 3
    assert samples[0]["time"] < samples[1]["time"] < samples[2]["time"]
    assert process.returncode == 130


async def test_on_a_terminal(ote: Ote, root: LocalTier) -> None:
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    environ = {**ote.environ, "TERM": "xterm"}
    command = (sys.executable, "-m", "services.cli", "top", "--interval", "200ms")
    process = await asyncio.create_subprocess_exec(*command, cwd=ote.cwd, env=environ, stdout=theirs, stderr=theirs)
    drawn = b""

    def shows(text: bytes) -> bool:
        nonlocal drawn
        with suppress(BlockingIOError):
            drawn += os.read(ours, 1_000_000)
        return text in drawn

    try:
        await eventually(lambda: shows(b"site1"), 30, what="the tree is drawn")
        await root.stop()
        await eventually(lambda: shows(b"no answer: "), 30, what="it says that the tier is away, and goes on")
    finally:
        process.send_signal(signal.SIGINT)
        await process.wait()
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 130


def test_rates_are_those_between_two_looks() -> None:
    def sample(monotonic: float, events: int, size: int) -> dict[str, object]:
        return {"monotonic": monotonic, "status": {"log": {"events": events, "bytes": size}}}

    assert rates(sample(10, 100, 4000), sample(12, 150, 5000)) == {"events": 25.0, "bytes": 500.0}
    assert rates(sample(10, 100, 4000), sample(12, 90, 5000))["events"] == 0

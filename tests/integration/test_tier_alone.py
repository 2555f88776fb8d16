"""Each service of a tier also runs alone, beside the tier that is up: they meet in the log and on the bus."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.integration.tiers import Api
from tests.support import eventually

REPO = Path(__file__).parents[2]


@asynccontextmanager
async def process(state: Path, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-m", "services.cli", "tier", "--path", "root", "--state", str(state), *words]
    started = await asyncio.create_subprocess_exec(*command, cwd=REPO, stdout=asyncio.subprocess.PIPE)
    try:
        yield started
    finally:
        if started.returncode is None:
            started.terminate()
        await started.communicate()


async def is_up(started: asyncio.subprocess.Process) -> None:
    assert started.stdout is not None
    line = await asyncio.wait_for(started.stdout.readline(), 30)
    assert b"is up" in line, line


async def test_the_host_of_the_shims_works_in_a_process_of_its_own(tmp_path: Path) -> None:
    state = tmp_path / "root"
    async with process(state, "--service", "controller") as controller:
        await is_up(controller)
        api = Api("root")
        await api.connect(json.loads((state / "tier.json").read_text())["nats"])
        waiting = (await api.submit("root", "before"))["id"]
        await api.becomes(waiting, "root", "received")
        async with process(state, "--service", "shims") as shims:
            await is_up(shims)
            await api.done(waiting)
            assert (await api.submit("root", "while", wait=30))["summary"] == {"succeeded": 1}
        left = (await api.submit("root", "between"))["id"]
        await api.becomes(left, "root", "received")
        async with process(state, "--service", "shims") as shims:
            await is_up(shims)
            await eventually(lambda: api.done(left))
        await api.tells("succeeded", "root", [waiting, (await api.told("received", "root"))[1], left])
        await api.disconnect()


async def test_a_service_without_a_tier_says_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services.cli", "tier", "--path", "root", "--state", str(tmp_path)]
    started = await asyncio.create_subprocess_exec(
        *command, "--service", "shims", cwd=REPO, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await started.communicate()
    assert started.returncode == 4
    assert b"no tier runs on" in errors

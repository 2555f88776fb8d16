"""Two processes that write one tier's log: no number is given twice, and nothing of either is lost."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.kit import REPOSITORY
from tests.faults.world import World
from tests.support import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


class Writer:
    """The second process; `events` and `commands` are what it says to have committed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.events: list[str] = []
        self.commands: list[str] = []

    async def committed(self, more: int) -> None:
        """Returns when it has committed so many commands more."""
        goal = len(self.commands) + more
        await eventually(lambda: len(self.commands) >= goal, what="the second process commits")

    async def listen(self) -> None:
        """Takes in what it says, until its end."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if not line.endswith(b"\n"):
                return
            kind, id = line.decode().split()
            (self.events if kind == "event" else self.commands).append(id)


@asynccontextmanager
async def writing(world: World, path: str, target: str) -> AsyncIterator[Writer]:
    """A second writer of the log of this tier; killed at the end, in the middle of what it does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.writer", path, str(world[path].log), target,
        stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY,
    )  # fmt: skip
    writer = Writer(process)
    listening = asyncio.create_task(writer.listen())
    try:
        yield writer
    finally:
        assert process.returncode is None, "the second writer ended by itself"
        process.kill()
        await process.wait()
        await listening
        world.load.acknowledged.update((command, [target]) for command in writer.commands)


@pytest.mark.parametrize("path", ["root", "root.a"])
async def test_a_tier_and_another_process_write_at_once(shared: World, path: str) -> None:
    async with writing(shared, path, "root.a.x") as writer:
        for _ in range(3):
            shared.load.burst()
            await shared.load.told()
            await writer.committed(10)
    await shared.at_rest()
    assert set(writer.events) <= shared.logs["root"].ids & shared.logs[path].ids


@pytest.mark.parametrize("path", ["root", "root.a"])
async def test_a_tier_is_killed_while_another_process_writes_its_log(shared: World, path: str) -> None:
    async with writing(shared, path, "root.a.x") as writer:
        shared.load.burst()
        await writer.committed(5)
        await shared[path].kill()
        await writer.committed(5)
        await shared[path].start()
        shared.load.burst()
        await shared.load.told()
    await shared.at_rest()

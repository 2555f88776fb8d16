"""Small labs for tests, and a look at what processes one has left."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.cli.lab.lab import Lab
from services.cli.lab.tree import LabTier, Pace, Tree

SMALL: Tree = (
    LabTier("root"),
    LabTier("root.east"),
    LabTier("root.east.site1", ("camera",), ("local",)),
    LabTier("root.east.site2", (), ("local",)),
)
QUICK = Pace(heartbeat=0.2, missed_heartbeats=3, sync_interval=0.5)
REPOSITORY = Path(__file__).parents[2]


def processes_of(directory: Path) -> dict[int, str]:
    """Every process whose command line names something in this directory."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in line:
            found[int(entry.name)] = line
    return found


@asynccontextmanager
async def small_lab(directory: Path, tree: Tree = SMALL) -> AsyncIterator[Lab]:
    """A lab that a test brings up; whatever the test does, nothing of it is left."""
    lab = Lab(directory, tree, QUICK)
    try:
        yield lab
    finally:
        await lab.down()
        for pid in processes_of(lab.directory):
            os.kill(pid, signal.SIGKILL)


async def ote(*words: str) -> asyncio.subprocess.Process:
    """A running `ote`, its outputs piped."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1"}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.cli",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )

"""A tier whose output is on a full disk works as any other."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from leafnodes.ports import free_port
from tests.integration.cli import Ote
from tests.support import eventually


async def test_a_tier_that_can_write_no_log_line_carries_out_commands(tmp_path: Path) -> None:
    port = free_port()
    ote = Ote(tmp_path, f"nats://127.0.0.1:{port}")
    words = ("tier", "--path", "root", "--port", str(port), "--state", "state", "--log-level", "debug")
    full = os.open("/dev/full", os.O_WRONLY)
    tier = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", *words, cwd=tmp_path, env=ote.environ, stdout=full, stderr=full
    )
    os.close(full)
    try:

        async def answers() -> bool:
            assert tier.returncode is None
            return (await ote("status")).code == 0

        await eventually(answers, 30)
        refused = await ote("run", "--on", "root", "fly", "--wait", "-o", "json")
        assert refused.json()["summary"] == {"failed": 1}
        done = await ote("run", "--on", "root", "list", "kind=ConfigMap", "--wait", "-o", "json")
        assert done.json()["summary"] == {"succeeded": 1}
    finally:
        if tier.returncode is None:
            tier.terminate()
        code = await tier.wait()
    assert code == 0

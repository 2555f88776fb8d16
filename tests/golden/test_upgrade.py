"""A tree is upgraded tier by tier, in any order, while commands fly: neighbours of two versions understand each other.

`program-0.1.0.tar.xz` is the code of an earlier version, as it was; a later release adds its own. What ran the
tree before runs it here again, then each tier is stopped and goes on with the code of today on its own log.
"""

from __future__ import annotations

import asyncio
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bus.errors import OteError
from bus.event import new_id
from services.cli.demo.audit import audit
from tests.integration.tiers import ProcessTier, Tiers
from tests.support import eventually

PROGRAMS = sorted(Path(__file__).parent.glob("program-*.tar.xz"))
ROOT, EAST, SITE = PATHS = ("root", "root.east", "root.east.site1")
NOW = ("-m", "services.cli")
STEADY = 20
AGAIN = 0.05


def unpacked(program: Path, directory: Path) -> Sequence[str]:
    """Python's arguments that run `ote` of that version."""
    with tarfile.open(program) as archive:
        archive.extractall(directory, filter="data")
    run = f"import sys; sys.path.insert(0, {str(directory)!r}); from services.cli.main import main; main()"
    return ("-c", run)


class Stream:
    """One command after the other to the site, each asked for until it is acknowledged."""

    def __init__(self, root: ProcessTier) -> None:
        self._root = root
        self.acknowledged: dict[str, list[str]] = {}

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            id = new_id()
            manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "steady"}, "data": {"by": id}}
            body = {"id": id, "to": SITE, "do": {"verb": "apply", "args": {"manifest": manifest}}}
            while id not in self.acknowledged:
                await self._submit(id, body)
            await asyncio.sleep(AGAIN)

    async def _submit(self, id: str, body: dict[str, Any]) -> None:
        try:
            answer = await self._root.ask("submit", body)
        except (OteError, AssertionError):
            # The root itself is being upgraded.
            await asyncio.sleep(AGAIN)
        else:
            self.acknowledged[id] = answer["targets"]

    async def succeeded(self) -> None:
        """Returns when all that was acknowledged until now is done."""
        wanted = set(self.acknowledged)

        async def done() -> bool:
            for id in list(wanted):
                summary = (await self._root.command(id))["summary"]
                assert summary == {"succeeded": 1}, (id, summary)
                wanted.remove(id)
            return True

        await eventually(done, 30, what="what was sent is done")


@pytest.mark.parametrize(
    "order",
    [
        pytest.param((EAST, ROOT, SITE), id="region-first"),
        pytest.param(PATHS, id="parents-first", marks=pytest.mark.long),
        pytest.param(PATHS[::-1], id="children-first", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name.split("-")[1].removesuffix(".tar.xz"))
async def test_a_tree_is_upgraded_while_commands_fly(program: Path, order: Sequence[str], tmp_path: Path) -> None:
    before = unpacked(program, tmp_path / "before")
    async with Tiers(tmp_path) as tiers:
        root = await tiers.spawn(ROOT, shims=(), program=before)
        east = await tiers.spawn(EAST, root, shims=(), program=before)
        site = await tiers.spawn(SITE, east, program=before)
        by_path = {ROOT: root, EAST: east, SITE: site}
        stream = Stream(root)
        sending = asyncio.create_task(stream.run())
        for path in order:
            sent = len(stream.acknowledged)
            await eventually(lambda sent=sent: len(stream.acknowledged) > sent + STEADY, 30, what="commands fly")
            tier = by_path[path]
            await tier.stop()
            tier.program = NOW
            await tier.start()
            for above, other in by_path.items():
                if path.startswith(f"{above}."):
                    await other.sees(path, "online")
            # The tree of both versions does its work, also what was asked for while one of it was away.
            await stream.succeeded()
        sending.cancel()
        await stream.succeeded()
        logs = {path: tier.state / "log.db" for path, tier in by_path.items()}

        async def kept() -> bool:
            report = await audit(logs, acknowledged=stream.acknowledged)
            assert report.ok, report.findings[:5]
            return True

        # What clusters tell of their objects comes after the results.
        await eventually(kept, 30, what="every promise is kept")

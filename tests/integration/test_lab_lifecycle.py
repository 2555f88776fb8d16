"""A lab comes up, is mended, and goes down without leaving anything."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from pathlib import Path

import pytest

from bus.client import Bus
from bus.errors import OteError
from services.cli.exits import one_error
from services.cli.lab.processes import Record
from services.cli.lab.status import status
from services.cli.lab.trouble import StepFailed
from services.cli.lab.wiring import Wiring
from tests.integration.lab_kit import SMALL, processes_of, small_lab
from tests.support import eventually

PATHS = [tier.path for tier in SMALL]


async def test_up_says_how_to_reach_every_tier_and_down_leaves_nothing(tmp_path: Path) -> None:
    async with small_lab(tmp_path) as lab:
        assert sorted(await lab.up()) == sorted(PATHS)
        tiers = json.loads((tmp_path / "lab.json").read_text())["tiers"]
        assert sorted(tiers) == sorted(PATHS)
        for tier in tiers.values():
            assert sorted(tier) == ["log", "metrics", "nats", "pids"]
            assert len(tier["pids"]) == 2 and all(pid in processes_of(lab.directory) for pid in tier["pids"])
            assert sqlite3.connect(tier["log"]).execute("SELECT count(*) FROM events").fetchone()[0] > 0
        async with await Bus.connect(tiers["root"]["nats"], name="test") as bus:
            clusters = (await bus.call("ote.local.clusters", {}, timeout=30))["clusters"]
        assert {cluster["path"]: cluster["state"] for cluster in clusters} == dict.fromkeys(PATHS, "online")

        await lab.down()
        assert processes_of(lab.directory) == {}
        assert not (tmp_path / "lab.json").exists()
        assert await lab.down() == []


async def test_up_again_starts_only_what_does_not_run(tmp_path: Path) -> None:
    async with small_lab(tmp_path) as lab:
        await lab.up()
        before = {path: tier.pids for path, tier in status(lab).items()}
        assert await lab.up() == []
        assert {path: tier.pids for path, tier in status(lab).items()} == before

        await lab.tiers["root.east"].kill()
        assert status(lab)["root.east"].state == "killed"
        assert await lab.up() == ["root.east"]
        after = {path: tier.pids for path, tier in status(lab).items()}
        changed = {path for path in PATHS if after[path] != before[path]}
        assert changed == {"root.east"}
        assert after["root.east"][1] == before["root.east"][1], "its server is adopted"
        assert all(tier.state == "up" for tier in status(lab).values())


async def test_what_the_tiers_know_outlives_the_lab(tmp_path: Path) -> None:
    async with small_lab(tmp_path, SMALL[:1]) as lab:
        await lab.up()
        url = lab.info("root").nats
        async with await Bus.connect(url, name="test") as bus:
            before = (await bus.call("ote.local.log", {}, timeout=30))["events"]
        await lab.down()
        await lab.up()
        assert lab.info("root").nats == url
        async with await Bus.connect(url, name="test") as bus:
            after = (await bus.call("ote.local.log", {}, timeout=30))["events"]
        assert after[: len(before)] == before


async def test_a_tier_that_does_not_start_names_its_log_and_leaves_nothing(tmp_path: Path) -> None:
    async with small_lab(tmp_path) as lab:
        (tmp_path / "root.east").mkdir()
        (tmp_path / "root.east" / "log.db").write_bytes(b"no database at all" * 500)
        with pytest.raises((OteError, ExceptionGroup)) as raised:
            await lab.up()
        error = one_error(raised.value)
        assert isinstance(error, StepFailed)
        assert "root.east did not come up" in error.message
        assert error.hint == f"read {tmp_path / 'root.east' / 'tier.log'}"
        assert any("log.db" in line for line in error.tail)
        assert processes_of(lab.directory) == {}


@pytest.mark.parametrize("processes", [1, 2, 4])
async def test_a_lab_that_is_interrupted_while_it_starts_leaves_nothing(tmp_path: Path, processes: int) -> None:
    async with small_lab(tmp_path) as lab:
        starting = asyncio.create_task(lab.up())
        await eventually(lambda: len(processes_of(lab.directory)) >= processes, 30, what="the first ones start")
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert processes_of(lab.directory) == {}


async def test_a_pid_that_is_another_process_by_now_is_not_found(tmp_path: Path) -> None:
    record = Record(tmp_path / "process.json")
    assert record.find() is None
    record.file.write_text(json.dumps({"pid": os.getpid(), "begun": "another boot/1"}))
    assert record.find() is None
    process = record.start(["services.cli.lab.links", str(tmp_path)], tmp_path / "output")
    found = record.find()
    assert found is not None and found.pid == process.pid
    await process.end(1)
    assert record.find() is None


async def test_what_lies_in_the_working_directory_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("services", "bus", "logging"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('another program')")
    monkeypatch.chdir(tmp_path)
    wiring = Wiring(tmp_path)
    try:
        await wiring.start()
    finally:
        await wiring.stop(1)

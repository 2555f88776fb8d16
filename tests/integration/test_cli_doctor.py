"""`ote doctor` on real tiers, files and ports: what is wrong is found, and only that."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli import Ote
from tests.integration.tiers import Tiers
from tests.support import eventually

SHIFTED = Path(__file__).with_name("shifted_clock.py")


async def checks(ote: Ote, *words: str) -> set[str]:
    ran = await ote("doctor", "-o", "json", *words)
    answer = ran.json()
    assert ran.code == (0 if answer["ok"] else 1), ran.err
    assert all(finding["what"] and finding["remedy"] for finding in answer["findings"])
    # How much room the disk of the tests has is not their affair.
    return {finding["check"] for finding in answer["findings"] if finding["severity"] != "note"} - {"disk"}


async def test_a_tree_that_is_well_cut_and_well_again(tiers: Tiers, tmp_path: Path) -> None:
    root = await tiers.grow("root", shims=())
    site = await tiers.grow("root.site1", root)
    above, below = Ote(tmp_path, root.info["nats"]), Ote(tmp_path, site.info["nats"])
    assert await checks(above) == set()
    assert await checks(below, "--state", str(site.state)) == set()
    await site.link.cut()
    await root.sees("root.site1", "offline")
    ran = await above("doctor")
    assert ran.code == 1 and ran.lines[0].startswith("root: ")
    assert any(line.startswith("warning: root.site1 is offline since ") for line in ran.lines)
    assert any(line.startswith("  do: ") for line in ran.lines)

    async def away() -> bool:
        return await checks(below) == {"link"}

    await eventually(away, what="the site says that its parent is away")
    await site.link.heal()
    await root.sees("root.site1", "online")
    assert await checks(above) == set()


async def test_a_twin_is_found_at_both_ends(tiers: Tiers, tmp_path: Path) -> None:
    root = await tiers.grow("root", shims=())
    await tiers.grow("root.site1", root)
    twin = await tiers.grow("root.site1", root, wait=False)
    other = Ote(tmp_path, twin.info["nats"])

    async def refused() -> bool:
        return "twin" in await checks(other)

    await eventually(refused, what="the twin says that it is refused")
    assert await checks(Ote(tmp_path, root.info["nats"])) == {"twin"}


async def test_a_clock_that_is_off_is_found_at_both_ends(tiers: Tiers, tmp_path: Path) -> None:
    root = await tiers.grow("root", shims=())
    site = await tiers.spawn("root.site1", root, program=(str(SHIFTED), "30"))
    above, below = Ote(tmp_path, root.info["nats"]), Ote(tmp_path, site.info["nats"])
    assert await checks(above) == {"clock"}
    assert "clock" in await checks(below)


async def test_no_tier_and_no_program(tmp_path: Path) -> None:
    ote = Ote(tmp_path, None)
    ran = await ote("doctor")
    assert (ran.code, ran.lines[0]) == (1, "no tier was reached: 1 error")
    assert "ote lab up" in ran.out and "Traceback" not in ran.err
    ote.environ["OTE_SERVER"] = "nats://127.0.0.1:1"
    ote.environ["OTE_TIER_NATS_BINARY"] = "/no/such/program"
    assert await checks(ote) == {"tier", "nats-server"}
    assert (await ote("doctor", "--state", str(tmp_path / "none"), "-o", "name")).lines == [
        "tier",
        "state",
        "nats-server",
    ]
    assert (await ote("doctor", "--lab", "x", "--server", "nats://x:1")).code == 2


async def test_what_the_state_directory_of_a_tier_shows(tiers: Tiers, tmp_path: Path) -> None:
    root = await tiers.spawn("root")
    state, ote = root.state, Ote(tmp_path, None)
    assert await checks(ote, "--state", str(state)) == set()
    with closing(sqlite3.connect(state / "log.db", isolation_level=None)) as sitting:
        sitting.execute("BEGIN IMMEDIATE")
        assert await checks(ote, "--state", str(state)) >= {"log"}
        sitting.execute("ROLLBACK")
    await root.kill()
    os.kill(root.info["server_pid"], signal.SIGKILL)
    assert await checks(ote, "--state", str(state)) == {"tier", "state"}
    port = json.loads((state / "nats.json").read_text())["client_port"]
    await eventually(lambda: _taken(port) is None, what="the server is gone")
    with socket.create_server(("127.0.0.1", port)):
        assert await checks(ote, "--state", str(state)) == {"tier", "state", "port"}


def _taken(port: int) -> Any:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0 or None


@pytest.mark.parametrize("damage", ["derived", "file"])
async def test_a_log_that_is_not_whole(tiers: Tiers, tmp_path: Path, damage: str) -> None:
    root = await tiers.grow("root")
    await root.stop()
    state = tmp_path / "copy"
    shutil.copytree(root.state, state)
    if damage == "derived":
        with closing(sqlite3.connect(state / "log.db")) as log:
            log.execute('UPDATE clusters SET tags = \'{"lie": ""}\'')
            log.commit()
    else:
        (state / "log.db").write_bytes(b"SQLite no more" * 400)
    ran = await Ote(tmp_path, None)("doctor", "--state", str(state))
    assert ran.code == 1
    assert ("ote store rebuild" if damage == "derived" else "the log can not be opened") in ran.out

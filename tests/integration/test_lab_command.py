"""`ote lab` as people and scripts use it: the whole tree, real signals, exit codes."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from services.cli.lab.tree import TREE
from tests.integration.lab_kit import ote, processes_of
from tests.support import eventually


async def run(*words: str, state: Path) -> tuple[int, str, str]:
    process = await ote("lab", *words, "--state", str(state))
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def data(*words: str, state: Path) -> dict[str, Any]:
    code, out, err = await run(*words, "-o", "json", state=state)
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


async def test_up_status_and_down_for_scripts(tmp_path: Path) -> None:
    try:
        code, out, err = await run("up", "--detach", state=tmp_path)
        assert code == 0, err
        assert "root.east.site1.cell1 is up" in err and "root sees all clusters online" in err
        assert "get clusters --tree" in out
        tiers = (await data("status", state=tmp_path))["tiers"]
        assert list(tiers) == [tier.path for tier in TREE]
        assert {tier["state"] for tier in tiers.values()} == {"up"}
        urls = {path: tier["metrics"] for path, tier in tiers.items()}
        assert len({*urls.values()}) == len(TREE) and all(url.startswith("http://127.0.0.1:") for url in urls.values())
        published = json.loads((tmp_path / "lab.json").read_text())["tiers"]
        assert {path: tier["metrics"] for path, tier in published.items()} == urls
        scraped = json.loads((tmp_path / "metrics.json").read_text())
        assert {one["labels"]["tier"]: f"http://{one['targets'][0]}/metrics" for one in scraped} == urls
        assert urls["root.east"] in (await run("status", state=tmp_path))[1]

        assert (await data("cut", "root.west", state=tmp_path))["cut_off"][0] == "root.west"
        assert (await data("status", state=tmp_path))["tiers"]["root.west"]["link"] == "cut"
        assert (await data("heal", "root.west", state=tmp_path))["link"] == "up"

        # A second `up` starts nothing, stays, and takes everything down.
        process = await ote("lab", "up", "--state", str(tmp_path))
        assert process.stdout is not None
        assert b"the lab is up" in await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        await process.communicate()
        assert process.returncode == 130
        assert processes_of(tmp_path) == {}
        assert (await data("down", state=tmp_path)) == {"stopped": []}
    finally:
        await run("down", state=tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupt_while_it_starts_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    process = await ote("lab", "up", "--detach", "--state", str(tmp_path))
    try:
        # A server, a tier and the links: the middle of the work.
        await eventually(lambda: len(processes_of(tmp_path)) > 4, 30, what="tiers start")
        process.send_signal(number)
        process.send_signal(number)
        await process.communicate()
        assert process.returncode == 130
        assert processes_of(tmp_path) == {}
    finally:
        await run("down", state=tmp_path)


async def test_a_lab_that_is_not_there(tmp_path: Path) -> None:
    for words in (["status"], ["cut", "root.east"], ["heal", "root.east"]):
        code, _, err = await run(*words, state=tmp_path / "none")
        assert code == 4
        assert "no lab in" in err and "ote lab up" in err
    code, _, err = await run("down", state=tmp_path / "none")
    assert code == 0
    file = tmp_path / "file"
    file.touch()
    code, _, err = await run("up", state=file)
    assert code == 2 and "--state" in err

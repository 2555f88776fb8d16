"""`ote demo` as people run it: real tiers, real faults, an exit code that can be trusted."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import asdict
from pathlib import Path

import pytest

from services.cli.demo.audit import PROMISES, AuditReport, Finding, Outage, audit
from services.cli.demo.plan import REGIONS, Plan, make_plan
from services.cli.demo.play import Run
from services.cli.demo.report import as_markdown, report_data, write_report
from services.cli.demo.shop import CHANGE, Shop, manifests
from services.cli.lab.tree import TREE
from tests.integration.lab_kit import ote, processes_of


async def test_every_promise_is_kept_and_the_report_says_so(tmp_path: Path) -> None:
    try:
        process = await ote("demo", "--seed", "7", "--state", str(tmp_path), "--keep")
        out, err = await asyncio.wait_for(process.communicate(), 110)
        text = out.decode()
        assert process.returncode == 0, text + err.decode()
        assert "ote demo --seed 7" in text and str(tmp_path / "report.md") in text
        assert "kill -9" in text and "every promise was kept" in text and "BROKEN" not in text

        report = json.loads((tmp_path / "report.json").read_text())
        assert report["ok"] and report["seed"] == 7 and report["audit"]["findings"] == []
        assert report["audit"]["promises"] == dict.fromkeys(PROMISES, True)
        counts, plan = report["audit"]["counts"], report["plan"]
        assert counts["commands"] == 1 + sum(plan["origins"].values())
        assert counts["deliveries"] == counts["succeeded"]
        assert [outage["path"] for outage in report["outages"]] == [plan["region"], plan["site"]]
        assert all(outage["begin"] < outage["end"] and outage["commands"] for outage in report["outages"])
        assert "every promise was kept" in (tmp_path / "report.md").read_text()

        # The tiers were kept: their logs can be audited by anybody, and nobody else may play here meanwhile.
        tiers = json.loads((tmp_path / "lab" / "lab.json").read_text())["tiers"]
        assert list(tiers) == [tier.path for tier in TREE]
        outages = [Outage(**outage) for outage in report["outages"]]
        again = await audit({path: tier["log"] for path, tier in tiers.items()}, outages=outages)
        assert again.ok, str(again)
        second = await ote("demo", "--state", str(tmp_path))
        _, err = await second.communicate()
        assert second.returncode == 6 and b"a lab runs in" in err
    finally:
        down = await ote("lab", "down", "--state", str(tmp_path / "lab"))
        await down.communicate()
    assert processes_of(tmp_path) == {}


async def test_an_interrupt_in_the_middle_leaves_neither_process_nor_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process = await ote("demo", "--seed", "3")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            while line := await process.stdout.readline():
                if b"kill -9" in line:
                    break
        process.send_signal(signal.SIGINT)
        await process.communicate()
        assert process.returncode == 130
        assert processes_of(tmp_path) == {}
        assert not any(files for _, _, files in os.walk(tmp_path))
    finally:
        for pid in processes_of(tmp_path):
            os.kill(pid, signal.SIGKILL)


def test_a_seed_is_one_plan_and_the_seeds_are_all_kinds() -> None:
    plans = [make_plan(seed) for seed in range(300)]
    assert plans == [make_plan(seed) for seed in range(300)]
    assert {plan.killed for plan in plans} == {tier.path for tier in TREE}
    assert {plan.region for plan in plans} == set(REGIONS)
    assert {plan.hang for plan in plans} == {True, False}
    assert all(not plan.site.startswith(plan.region) and "cell" not in plan.site for plan in plans)


def test_the_shop_is_whole_and_its_changes_are_numbered() -> None:
    kinds = [one["kind"] for one in manifests()]
    assert kinds.count("Deployment") == 2 and {"Service", "ConfigMap", "Namespace"} <= set(kinds)
    shop, same = Shop(5), Shop(5)
    changes = [shop.from_root("root") for _ in range(10)]
    assert changes == [same.from_root("root") for _ in range(10)]
    assert len({one["metadata"]["annotations"][CHANGE] for change in changes for one in change}) == sum(
        map(len, changes)
    )
    assert [one["metadata"]["annotations"][CHANGE] for one in shop.from_site("s")] == ["s 1"]


def test_a_broken_promise_is_in_the_report(tmp_path: Path) -> None:
    run = Run(make_plan(1), [Outage("root.east", "a", "b", ["id"])], killed_pid=7, whole_after=1.5)
    found = Finding(PROMISES[1], "root.east", "command x ended 2 times")
    data = report_data(run, AuditReport((found,), {"commands": 1}), {"Start": 1.0}, {"root": "log.db"})
    assert data["ok"] is False and data["audit"]["promises"][PROMISES[1]] is False
    text = as_markdown(data)
    assert "a promise was broken" in text and "command x ended 2 times" in text and "**broken**" in text
    assert write_report(tmp_path, data).read_text() == text
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(data))
    assert Plan(**{key: value for key, value in data["plan"].items() if key != "origins"}) == run.plan
    assert asdict(run.outages[0]) == data["outages"][0]
    run.whole_after = None
    assert report_data(run, AuditReport((), {}), {}, {})["ok"] is False, "it must also have become whole again"

"""The report of a run: JSON for programs, markdown for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from services.cli.demo.audit import AuditReport
from services.cli.demo.play import Run


def report_data(run: Run, audit: AuditReport, took: Mapping[str, float], logs: Mapping[str, str]) -> dict[str, Any]:
    """`{"ok", "seed", "plan", "steps": {TITLE: SECONDS}, "audit": {...}, "outages": [...], "logs": {PATH: FILE}}`."""
    return {
        "ok": audit.ok and run.whole_after is not None,
        "version": version("ote-bus"),
        "seed": run.plan.seed,
        "plan": {**asdict(run.plan), "origins": run.plan.origins},
        "steps": dict(took),
        "killed_pid": run.killed_pid,
        "whole_after_seconds": run.whole_after,
        "outages": [asdict(outage) for outage in run.outages],
        "audit": audit.data(),
        "logs": dict(logs),
    }


def write_report(directory: Path, data: Mapping[str, Any]) -> Path:
    """Writes `report.json` and `report.md`; the place of the latter."""
    (directory / "report.json").write_text(json.dumps(data, indent=2) + "\n")
    readable = directory / "report.md"
    readable.write_text(as_markdown(data))
    return readable


def as_markdown(data: Mapping[str, Any]) -> str:
    """The report for people."""
    plan, audit = data["plan"], data["audit"]
    lines = [
        f"# OTE Bus demo: {'every promise was kept' if data['ok'] else 'a promise was broken'}",
        "",
        f"Seed {data['seed']}, version {data['version']}. Play it again: `ote demo --seed {data['seed']}`.",
        "",
        "## What happened",
        "",
        f"- Cut off: the region `{plan['region']}`, and the site `{plan['site']}`"
        f" (its link {'hung' if plan['hang'] else 'was cut'}).",
        f"- Killed with SIGKILL while commands were under way: the process {data['killed_pid']} of `{plan['killed']}`.",
        *(f"- `{path}` submitted {count} commands meanwhile." for path, count in plan["origins"].items()),
        f"- {_whole(data['whole_after_seconds'])}.",
        *(f"- `{one['path']}` was off from {one['begin']} to {one['end']}." for one in data["outages"]),
        "",
        "## Promises",
        "",
        *(f"- {'kept' if kept else '**broken**'}: {promise}" for promise, kept in audit["promises"].items()),
        "",
        *_findings(audit["findings"]),
        "## Counts",
        "",
        *_table(("what", "how many"), audit["counts"]),
        "## Steps",
        "",
        *_table(("step", "seconds"), data["steps"]),
        "## Logs",
        "",
        *_table(("tier", "file"), data["logs"]),
    ]
    return "\n".join(lines)


def _whole(seconds: float | None) -> str:
    if seconds is None:
        return "**The tiers did not come together again in time**"
    return f"Nothing was behind {seconds} s after the links were healed"


def _findings(findings: list[Mapping[str, str]]) -> list[str]:
    if not findings:
        return []
    return ["## Findings", "", *(f"- {one['promise']}: `{one['path']}`: {one['what']}" for one in findings), ""]


def _table(titles: tuple[str, str], rows: Mapping[str, Any]) -> list[str]:
    head = [f"| {titles[0]} | {titles[1]} |", "| --- | --- |"]
    return [*head, *(f"| {name} | {value} |" for name, value in rows.items()), ""]

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bus.event import format_time
from services.cli.doctor.finding import Finding, Severity, is_ill, worst_first
from services.cli.doctor.look import Look
from services.cli.doctor.tree import judge

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ID = "01939a3c-0000-7000-8000-000000000001"


def ago(seconds: float) -> str:
    return format_time(NOW - timedelta(seconds=seconds))


def cluster(path: str, **other: Any) -> dict[str, Any]:
    row = {"path": path, "state": "online", "lag": {"events": 0, "seconds": 0.0}, "version": "0.1.0"}
    return row | {"resources": {"disk": 50e9}, "clock": 0.01} | other


STATUS: dict[str, Any] = {
    "path": "root",
    "version": "0.1.0",
    "link": {"parent": None, "state": "root"},
    "clusters": {"online": 2, "offline": []},
    "commands": {"open": 0, "oldest": [], "in_doubt": []},
    "backlog": {"undelivered": 3, "unfinished": 0, "behind_gap": 0, "dropped_messages": 7},
    "log": {"events": 12, "bytes": 3400, "free_bytes": 5_000_000_000},
}
WELL = Look(STATUS, [cluster("root", clock=None), cluster("root.east")], [], [])


def found(after: Look, before: Look = WELL) -> list[Finding]:
    return list(judge(before, after, NOW))


def with_status(**changes: Any) -> Look:
    return replace(WELL, status=STATUS | changes)


def only(look: Look, before: Look = WELL) -> Finding:
    [finding] = found(look, before)
    return finding


def test_a_healthy_tree_has_no_findings() -> None:
    assert found(WELL) == []
    assert not is_ill([])


def test_a_parent_that_is_away_since_when() -> None:
    link = {"parent": "root", "state": "down", "since": ago(300), "reason": "no answer"}
    finding = only(with_status(path="root.east", link=link))
    assert (finding.check, finding.severity) == ("link", Severity.WARNING)
    assert finding.what.startswith("the parent root does not answer root.east since 5m (no answer): nothing is known")
    assert "root.east goes on by itself" in finding.what


def test_a_tier_that_is_refused_because_of_a_twin() -> None:
    link = {"parent": "root", "state": "refused", "since": ago(5), "reason": "another living cluster has the path"}
    finding = only(with_status(path="root.east", link=link))
    assert (finding.check, finding.severity) == ("twin", Severity.ERROR)
    assert "another living cluster has the path" in finding.what and "--path" in finding.remedy


def test_a_twin_is_told_of_once() -> None:
    told = [{"time": ago(9 - n), "data": {"path": "root.east", "instance": f"i{n}"}} for n in range(3)]
    assert "(instance i2)" in only(replace(WELL, refused=told)).what


def test_a_fork_is_an_error() -> None:
    told = [{"time": ago(9), "source": "root", "data": {"source": "root.east", "seq": 5}}]
    finding = only(replace(WELL, forked=told))
    assert (finding.severity, finding.about) == (Severity.ERROR, "root.east")


def test_what_was_not_believed_is_told_once_for_each_reason() -> None:
    def told(reason: str, n: int) -> dict[str, object]:
        data = {"source": "root.east.site", "reason": reason, "origin": f"repair of r{n}"}
        return {"time": ago(9 - n), "source": "root.east", "data": data}

    rejected = [told("forged", 1), told("forged", 2), told("unknown", 3)]
    forged, unknown = judge(WELL, replace(WELL, rejected=rejected), NOW)
    assert (forged.check, forged.severity, forged.about) == ("signature", Severity.ERROR, "root.east.site")
    assert "repair of r2" in forged.what and "revoke" in forged.remedy
    assert unknown.severity is Severity.WARNING and "admitted" in unknown.remedy


def test_a_flood_is_told_once_by_its_latest() -> None:
    def told(n: int, **more: float) -> dict[str, object]:
        data = {"path": "root.east", "messages": 40_000, "bytes": 9_000_000, **more}
        return {"time": ago(9 - n), "source": "root", "data": data}

    finding = only(replace(WELL, flooded=[told(1), told(2, cut_for=30.0)]))
    assert (finding.check, finding.severity, finding.about) == ("flood", Severity.WARNING, "root.east")
    assert "40,000 messages" in finding.what and "cut for 30 s" in finding.what and "ote revoke" in finding.remedy


def test_what_is_offline_is_told_of_by_its_top_with_what_waits() -> None:
    offline = [
        {"path": "root.east", "since": ago(300)},
        {"path": "root.east.site1", "since": ago(300), "reason": "behind root.east"},
    ]
    oldest = [{"command": ID, "target": "root.east.site1", "state": "accepted", "since": ago(200)}]
    rows = [cluster("root"), cluster("root.east", state="offline"), cluster("root.east.site1", state="offline")]
    commands = {"open": 1, "oldest": oldest, "in_doubt": []}
    look = replace(with_status(clusters={"online": 1, "offline": offline}, commands=commands), clusters=rows)
    finding = only(look)
    assert finding.what == ("root.east is offline since 5m, and 1 cluster behind it; at least 1 command waiting for it")


def test_what_an_online_cluster_does_not_take() -> None:
    oldest = [
        {"command": ID, "target": "root.east", "state": "accepted", "since": ago(seconds)} for seconds in (90, 70)
    ]
    finding = only(with_status(commands={"open": 2, "oldest": oldest, "in_doubt": []}))
    assert (finding.check, finding.about) == ("backlog", "root.east") and ID in finding.what
    oldest = [{"command": ID, "target": "root.east", "state": "accepted", "since": ago(5)}]
    assert found(with_status(commands={"open": 1, "oldest": oldest, "in_doubt": []})) == []


def test_a_backlog_that_grows_and_messages_that_are_dropped_now() -> None:
    backlog = {"undelivered": 60, "unfinished": 10, "behind_gap": 2, "dropped_messages": 9}
    look = with_status(backlog=backlog)
    assert [finding.check for finding in found(look)] == ["backlog", "backlog"]
    assert "67 more" in found(look)[0].what and "9 messages dropped" in found(look)[1].what
    assert "2 events behind a gap" in only(look, before=look).what


def test_lag_doubt_disks_clocks_and_versions() -> None:
    def row(**other: Any) -> Look:
        return replace(WELL, clusters=[cluster("root"), cluster("root.east", **other)])

    assert only(row(lag={"events": 412, "seconds": 380.0})).what == "root.east is online and 412 events / 6m behind"
    doubt = [{"command": ID, "target": "root.east", "state": "in-doubt", "since": ago(60)}]
    finding = only(with_status(commands={"open": 0, "oldest": [], "in_doubt": doubt}))
    assert finding.remedy.endswith(f"ote resolve {ID} --target root.east --as done|failed|retry")
    assert only(row(resources={"disk": 0.9e9})).severity is Severity.WARNING
    assert only(with_status(log=STATUS["log"] | {"free_bytes": 50_000_000})).severity is Severity.ERROR
    assert "3.0 s behind that of root" in only(row(clock=-3.0)).what
    link = {"parent": "top", "state": "up", "since": ago(9), "clock": 60.0}
    assert "the clock of top is 60.0 s ahead" in only(with_status(link=link)).what
    assert "0.2.0: root.east" in only(row(version="0.2.0")).what


def test_the_worst_comes_first_and_notes_do_no_harm() -> None:
    findings = [Finding(severity, "x", "", "", "") for severity in Severity]
    assert [finding.severity.name for finding in worst_first(findings)] == ["ERROR", "WARNING", "NOTE"]
    assert not is_ill(findings[:1]) and is_ill(findings[:2])

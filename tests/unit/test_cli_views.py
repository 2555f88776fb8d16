from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bus.event import Addressee, Draft, format_time
from services.cli.views.clusters import cluster_table, cluster_tree
from services.cli.views.commands import command_table, doing, one_command, outcome, where_to
from services.cli.views.events import event_line
from services.cli.views.links import links_view
from services.cli.views.objects import explained, object_name, object_table, status_of
from services.cli.views.status import tier_status
from services.cli.views.undo import plan_table

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def ago(seconds: float) -> str:
    return format_time(NOW - timedelta(seconds=seconds))


def cluster(path: str, **other: Any) -> dict[str, Any]:
    parent = path.rpartition(".")[0] or None
    row = {"path": path, "name": path.rpartition(".")[2], "tags": [], "state": "online", "parent": parent}
    row |= {"attached_to": parent, "shims": ["local"], "lag": {"events": 0, "seconds": 0}, "last_seen": ago(1)}
    return row | other


CLUSTERS = [
    cluster("root", shims=[]),
    cluster("root.east"),
    cluster(
        "root.east.site1", tags=["camera", "zone=eu"], lag={"events": 412, "seconds": 38.2}, attached_to="root.west"
    ),
    cluster("root.east.site2", state="offline", last_seen=ago(300)),
]


def test_cluster_table() -> None:
    assert cluster_table(CLUSTERS, NOW).plain.splitlines() == [
        "PATH              STATE     TAGS             BEHIND              SEEN",
        "root              online    -                -                   1s",
        "root.east         online    -                -                   1s",
        "root.east.site1   online    camera zone=eu   412 events / 38 s   1s",
        "root.east.site2   offline   -                -                   5m",
    ]


def test_wide_cluster_table() -> None:
    lines = cluster_table(CLUSTERS[2:3], NOW, wide=True).plain.splitlines()
    assert lines[1].split()[-3:] == ["local", "root.east", "root.west"]


def test_cluster_tree() -> None:
    assert cluster_tree(CLUSTERS, NOW).plain.splitlines() == [
        "root",
        "└─ east",
        "   ├─ site1  camera zone=eu  behind 412 events / 38 s  at root.west",
        "   └─ site2  offline 5m",
    ]


APPLY = {"verb": "apply", "args": {"manifests": [{"kind": "Deployment", "metadata": {"name": "web"}}, {}, {}]}}


def test_what_a_command_does() -> None:
    assert doing(APPLY) == "apply Deployment/web and 2 more"
    assert (
        doing({"verb": "scale", "shim": "k3s", "args": {"name": "web", "replicas": 3}})
        == "k3s:scale name=web replicas=3"
    )
    assert doing({"verb": "list", "args": {}}) == "list"
    assert doing({"verb": "apply", "args": {"manifests": ["text"]}}) == "apply ?/?"
    assert doing({"verb": "apply", "args": {"manifests": []}}) == "apply manifests=[]"


def test_command_table() -> None:
    row = {
        "id": "c1",
        "submitted": ago(38),
        "do": APPLY,
        "to": "tag:camera",
        "summary": {"succeeded": 2, "accepted": 1},
    }
    assert command_table([row], NOW).plain.splitlines() == [
        "ID   AGE   DO                                TO           TARGETS",
        "c1   38s   apply Deployment/web and 2 more   tag:camera   2 succeeded, 1 accepted",
    ]


def test_where_a_command_goes() -> None:
    def shown(count: int, *targets: str) -> str:
        return where_to("cancelling command", {"id": "c1", "count": count, "targets": targets}).plain

    assert shown(2, "r.a", "r.b") == "cancelling command c1 at 2 clusters: r.a, r.b"
    assert shown(1, "r.a") == "cancelling command c1 at 1 cluster: r.a"
    assert shown(12000, "r.a") == "cancelling command c1 at 12,000 clusters: r.a and 11,999 more"
    assert shown(0) == "cancelling command c1 nowhere"


def test_results_on_one_line() -> None:
    def object(name: str, result: str) -> dict[str, str]:
        return {"kind": "ConfigMap", "name": name, "namespace": "default", "result": result}

    assert outcome({"objects": [object("shop", "created")]}) == "ConfigMap/shop created"
    both = [object("a", "created"), object("b", "unchanged"), object("c", "created")]
    assert outcome({"objects": both}) == "2 created, 1 unchanged"
    assert outcome({"kind": "List", "items": [{}, {}]}) == "2 items"
    assert outcome({"kind": "Deployment", "metadata": {"name": "web"}, "spec": {}}) == "Deployment/web"
    assert outcome({"objects": "none", "n": 1}) == "objects=none n=1"
    assert outcome("hello") == "hello"


COMMAND: dict[str, Any] = {
    "id": "c1",
    "to": "tag:camera",
    "do": APPLY,
    "actor": "ada@desk",
    "submitted": ago(60),
    "summary": {"succeeded": 1, "failed": 1, "accepted": 1},
    "targets": {
        "r.c": {"state": "accepted", "number": 8, "receipts": {"accepted": ago(60), "stored": {"r": ago(59)}}},
        "r.a": {
            "state": "succeeded",
            "number": 3,
            "receipts": {"accepted": ago(60), "delivered": ago(59.996), "executed": ago(59.99), "stored": {}},
            "result": {"applied": 3},
        },
        "r.b": {
            "state": "failed",
            "number": 5,
            "receipts": {"accepted": ago(60), "delivered": ago(50), "executed": ago(40)},
            "error": {"code": "invalid", "message": "spec.replicas: not a number"},
        },
    },
}


def test_one_command_with_its_receipts() -> None:
    assert one_command(COMMAND, NOW).plain.splitlines() == [
        "command:   c1",
        "do:        apply Deployment/web and 2 more",
        "to:        tag:camera",
        "actor:     ada@desk",
        "submitted: 2026-11-23T11:59:00.000000Z (1m ago)",
        "targets:   1 accepted, 1 failed, 1 succeeded",
        "",
        "TARGET   STATE       SINCE   DELIVERED   EXECUTED   RESULT",
        "r.a      succeeded   59s     4ms         10ms       applied=3",
        "r.b      failed      40s     10.0s       20.0s      invalid: spec.replicas: not a number",
        "r.c      accepted    1m      -           -          -",
    ]


def test_wide_targets_show_numbers_and_tiers_on_the_way() -> None:
    last = one_command(COMMAND, NOW, wide=True).plain.splitlines()[-1]
    assert last.split() == ["r.c", "accepted", "1m", "-", "-", "8", "r+1.0s", "-"]


STATUS: dict[str, Any] = {
    "path": "root.east",
    "epoch": "00000001.aa",
    "version": "0.1.0",
    "uptime": 7300,
    "log": {"events": 12345, "bytes": 3_400_000, "free_bytes": 5e9, "synchronous": "FULL"},
    "clusters": {"online": 2, "offline": [{"path": "root.east.site2", "since": ago(300)}]},
    "commands": {
        "open": 4,
        "doubts": 1,
        "in_doubt": [{"command": "c2", "target": "root.east.site1", "since": ago(90)}],
        "oldest": [{"command": "c1", "target": "root.east.site2", "state": "accepted", "since": ago(240)}],
    },
    "backlog": {"commands": 4},
    "link": {"parent": "root", "state": "online", "since": ago(7000)},
}


def test_tier_status() -> None:
    assert tier_status(STATUS, NOW).plain.splitlines() == [
        "tier:     root.east  version 0.1.0, up 2h, epoch 00000001.aa",
        "parent:   root  online 1h",
        "clusters: 2 online, 1 offline",
        "commands: 4 open, 1 in doubt",
        "backlog:  4 commands",
        "log:      12,345 events, 3.4 MB; 5.0 GB free on disk; commits survive a power cut (FULL)",
        "",
        "OFFLINE           SINCE   REASON   BEHIND IT",
        "root.east.site2   5m      -        -",
        "",
        "OLDEST UNDELIVERED   TARGET            STATE      SINCE",
        "c1                   root.east.site2   accepted   4m",
        "",
        "IN DOUBT   TARGET            SINCE",
        "c2         root.east.site1   1m",
    ]


def test_status_of_a_root_without_troubles() -> None:
    quiet = STATUS | {
        "clusters": {"online": 3, "offline": []},
        "commands": {"open": 0, "doubts": 0, "in_doubt": [], "oldest": []},
        "backlog": {},
        "link": {"parent": None},
        "metrics": "http://127.0.0.1:9464/metrics",
    }
    text = tier_status(quiet, NOW).plain
    assert "parent:   none, this is a root" in text
    assert "OFFLINE" not in text
    assert text.endswith("metrics:  http://127.0.0.1:9464/metrics")


def test_a_region_that_is_away_is_one_row() -> None:
    """Half of the sites offline: the first screen says where the tree is broken."""
    sites = [{"path": f"r.east.s{n}", "since": ago(300), "reason": "behind r.east"} for n in range(150)]
    regions = [{"path": f"r.far{n}", "since": ago(60)} for n in range(30)]
    away = [{"path": "r.east", "since": ago(301)}, *sites, *regions]
    rows = tier_status(STATUS | {"clusters": {"online": 2, "away": 181, "offline": away}}, NOW).plain.split("\n\n")[1]
    lines = rows.splitlines()
    assert lines[1].split() == ["r.east", "5m", "-", "150"]
    assert len(lines) == 1 + 20 + 1
    assert lines[-1].rstrip() == "and 11 more: ote get clusters"


def test_event_lines() -> None:
    data = {"command": "c1", "selector": "tag:camera", "do": APPLY, "count": 1, "digest": "d"}
    draft = Draft("ote.command.submitted.v1", "ote.cmd.root", data, to=(Addressee("root", 1, ""),), time=ago(0))
    event = draft.seal("root", "00000001.aa", 7).cloudevent()
    assert event_line(event).plain == (
        "2026-11-23T12:00:00.000000Z  root  command.submitted.v1  c1  apply Deployment/web and 2 more  to tag:camera"
    )
    assert event_line(event, wide=True).plain.endswith(f"id={event['id']} epoch=00000001.aa seq=7")
    other = Draft("ote.cluster.offline.v1", "ote.evt.x", {"path": "root.a"}, time=ago(0)).seal("root", "e", 8)
    assert event_line(other.cloudevent()).plain.endswith("cluster.offline.v1  path=root.a")


def test_object_table() -> None:
    web = {"kind": "Deployment", "spec": {"replicas": 3}, "status": {"readyReplicas": 2}}
    row = {"cluster": "root.a", "state": "online", "seen": ago(0), "shim": "local", "apiVersion": "apps/v1"}
    row |= {"kind": "Deployment", "namespace": "shop", "name": "web", "since": ago(60), "command": "c1", "object": web}
    away = {**row, "state": "offline", "seen": ago(300), "namespace": "", "object": {"status": {"phase": "Running"}}}
    assert object_table([row, away], NOW).plain.splitlines() == [
        "CLUSTER   KIND         NAMESPACE   NAME   STATUS      SINCE   KNOWN",
        "root.a    Deployment   shop        web    2/3 ready   1m      now",
        "root.a    Deployment   -           web    Running     1m      offline 5m",
    ]
    assert object_table([row], NOW, wide=True).plain.splitlines()[1].split()[-3:] == ["apps/v1", "local", "c1"]
    assert [object_name(each) for each in (row, away)] == ["root.a/Deployment/shop/web", "root.a/Deployment/web"]


def test_events_show_their_message() -> None:
    event = {"kind": "Event", "reason": "FailedScheduling", "count": 2, "message": "0/3 nodes\x1b are available"}
    row = {"cluster": "root.a", "state": "online", "kind": "Event", "namespace": "shop", "name": "web.1"}
    rows = [{**row, "since": ago(60), "object": one} for one in (event, {"kind": "Event", "reason": "x"})]
    assert object_table(rows, NOW).plain.splitlines() == [
        "CLUSTER   KIND    NAMESPACE   NAME    STATUS                SINCE   KNOWN   MESSAGE",
        "root.a    Event   shop        web.1   2x FailedScheduling   1m      now     0/3 nodes\\x1b are available",
        "root.a    Event   shop        web.1   x                     1m      now     -",
    ]


def test_the_status_of_an_object() -> None:
    objects = [{}, {"status": 1}, {"status": {"x": 1}}, {"status": {"readyReplicas": 1}}, {"truncated": 9}]
    assert [status_of(object) for object in objects] == ["-", "-", "-", "1/1 ready", "too large"]


def test_what_undo_does_is_one_line_for_clusters_with_the_same_plan() -> None:
    step = {"verb": "delete", "manifest": {"kind": "ConfigMap", "metadata": {"name": "shop", "namespace": "x"}}}
    same = {"state": "undo", "steps": [step], "reasons": []}
    refused = {"state": "refused", "steps": [], "reasons": ["it is too large"]}
    targets = {"root.a": same, "root.b": same, "root.c": refused}
    assert plan_table(targets).plain.splitlines() == [
        "TARGET                       PLAN      WHAT",
        "2 clusters: root.a, root.b   undo      delete ConfigMap/x/shop",
        "root.c                       refused   it is too large",
    ]


def test_why_is_told_from_now_back_to_who_sent_the_command() -> None:
    command = {"id": "c1", "verb": "apply", "to": "tag:x", "actor": "ann", "origin": "root", "submitted": ago(60)}
    command |= {
        "state": "succeeded",
        "receipts": {"executed": ago(58), "delivered": ago(59), "stored": {"root.e": "t"}},
    }
    change = {"time": ago(58), "event": "e1", "gone": False, "command": command}
    row = {
        "cluster": "root.e.a",
        "state": "offline",
        "seen": ago(30),
        "kind": "ConfigMap",
        "namespace": "",
        "name": "a",
    }
    itself = {"time": ago(90), "event": "e0", "gone": True}
    assert explained([{**row, "changes": [change, itself], "lost": True}], NOW).plain.splitlines() == [
        "ConfigMap/a at root.e.a, offline 30s",
        f"  so since {ago(58)} (58s ago)   event e1",
        f"    succeeded {ago(58)}   command c1",
        f"      received {ago(59)}",
        "      stored at root.e t",
        f"      submitted {ago(60)} at root by ann: apply to tag:x",
        f"  gone since {ago(90)} (1m ago)   event e0",
        "    no command led to it: it changed at the cluster itself",
        "  the log does not tell what was before",
    ]


def test_links_of_a_guest() -> None:
    up = {"path": "root.west", "rtt": 0.0012, "in_bytes": 2000, "out_bytes": 100, "since": ago(60), "reconnects": 1}
    place = {"relation": "parent", "address": "10.0.0.1:7422", "health": "dead"}
    answer: dict[str, Any] = {
        "path": "root.east.site1",
        "parent": "root.east",
        "attached_to": "root.west",
        "why": "root.east is dead",
        "failover": True,
        "drained": False,
        "up": up,
        "places": [{"path": "root.east", **place}],
        "below": [],
        "guests": [],
        "most_guests": 250,
    }
    lines = [" ".join(line.split()) for line in links_view(answer, NOW).plain.splitlines()]
    assert lines == [
        "tier: root.east.site1",
        "attached to: root.west, as a guest: root.east is dead",
        "parent: root.east",
        "link: up for 1m, 1 reconnects",
        "round trip: 1.2 ms",
        "traffic: 2.0 KB in, 100 B out",
        "guests: 0 of at most 250",
        "",
        "COULD ATTACH TO WHICH IS AT HEALTH ANSWERS IN",
        "root.east parent 10.0.0.1:7422 dead -",
    ]


def test_links_of_a_host() -> None:
    wire = {"rtt": None, "in_bytes": 0, "out_bytes": 0}
    answer: dict[str, Any] = {
        "path": "root",
        "parent": None,
        "attached_to": None,
        "failover": False,
        "drained": True,
        "places": [],
        "below": [{"path": "root.east", **wire}, {"path": "root.west.site", **wire}],
        "guests": [{"path": "root.west.site", "state": "online", "since": ago(1)}],
        "most_guests": 3,
    }
    shown = links_view(answer, NOW).plain
    assert "nobody, this is a root" in shown
    assert "maintenance" in shown
    assert [line.split()[1] for line in shown.splitlines()[-2:]] == ["child", "guest"]

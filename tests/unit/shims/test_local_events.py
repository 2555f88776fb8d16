"""Events of the local cluster: what they say, how they are counted up, and how many stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.shims.local import view
from services.shims.local.cluster import events
from services.shims.reports import Reports
from tests.unit.shims.small_cluster import Cluster
from tests.unit.shims.test_local_cluster import deployment


def said(cluster: Cluster, about: str = "", **args: Any) -> list[tuple[str, str, int]]:
    """(reason, message, count) of the Events about objects of this kind."""
    found = [one for one in cluster.all("Event", **args) if about in ("", one["involvedObject"]["kind"])]
    return sorted((one["reason"], one["message"], one["count"]) for one in found)


def scale(cluster: Cluster, replicas: int) -> None:
    cluster.do("scale", {"name": "web", "replicas": replicas})


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Moves the cluster's clock on."""

    def move(by: timedelta) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return datetime.now(UTC) + by

        monkeypatch.setattr(view, "datetime", Clock)

    return move


def test_a_deployment_and_its_pods_say_what_happens() -> None:
    cluster = Cluster("cpu=4")
    manifest = deployment(1, image="web:7", cpu="500m")
    manifest["spec"]["template"]["spec"]["initContainers"] = [{"name": "first"}]
    cluster.do("apply", manifest)
    [pod], [replica_set] = cluster.all("Pod"), cluster.all("ReplicaSet")
    name = pod["metadata"]["name"]
    assert said(cluster, "Pod") == [
        ("Created", "Created container: first", 1),
        ("Created", "Created container: web", 1),
        ("Pulled", 'Container image "" already present on machine', 1),
        ("Pulled", 'Container image "web:7" already present on machine', 1),
        ("Scheduled", f"Successfully assigned default/{name} to node-1", 1),
        ("Started", "Started container first", 1),
        ("Started", "Started container web", 1),
    ]
    scaling = f"Scaled up replica set {replica_set['metadata']['name']} from 0 to 1"
    assert said(cluster, "Deployment") == [("ScalingReplicaSet", scaling, 1)]
    [started] = [one for one in cluster.all("Event") if one["message"] == "Started container web"]
    assert started["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "default",
        "name": name,
        "uid": pod["metadata"]["uid"],
        "fieldPath": "spec.containers{web}",
    }
    assert (started["type"], started["source"]) == ("Normal", {"component": "kubelet", "host": "node-1"})
    assert started["firstTimestamp"] == started["lastTimestamp"] == started["metadata"]["creationTimestamp"]
    assert started["metadata"]["name"].startswith(f"{name}.")
    assert cluster.object("Event", started["metadata"]["name"]) == started


def test_a_pod_that_fits_nowhere_says_why_in_the_schedulers_words_and_once() -> None:
    cluster = Cluster("3*cpu=4")
    cluster.do("apply", deployment(1, gpu=1))
    lack = ("FailedScheduling", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", 1)
    assert said(cluster, "Pod") == [lack]
    [event] = [one for one in cluster.all("Event") if one["reason"] == "FailedScheduling"]
    assert (event["type"], event["source"]) == ("Warning", {"component": "default-scheduler"})
    cluster.do("apply", deployment(1, name="other"))
    assert lack in said(cluster, "Pod"), "nothing new is to be said of it"
    cluster.begin(["cpu=4,nvidia.com/gpu=1"])
    assert {"FailedScheduling", "Scheduled", "Started"} <= {reason for reason, *_ in said(cluster)}


def test_what_happens_again_is_counted_up(later: Any) -> None:
    cluster = Cluster("cpu=4")
    cluster.do("apply", deployment(1, cpu="100m"))
    name = cluster.all("ReplicaSet")[0]["metadata"]["name"]
    later(timedelta(minutes=5))
    for replicas in (2, 1, 2, 1, 2):
        scale(cluster, replicas)
    counts = {message: count for _, message, count in said(cluster, "Deployment")}
    assert counts == {
        f"Scaled up replica set {name} from 0 to 1": 1,
        f"Scaled up replica set {name} from 1 to 2": 3,
        f"Scaled down replica set {name} from 2 to 1": 2,
    }
    [again] = [one for one in cluster.all("Event") if one["count"] == 3]
    assert again["lastTimestamp"] >= again["firstTimestamp"]


def test_the_limit_of_pods_is_said_once() -> None:
    cluster = Cluster("cpu=400,pods=2000")
    cluster.do("apply", deployment(1001))
    [(_, message, count)] = said(cluster, "ReplicaSet")
    assert message.startswith('Error creating: pods "web-') and count == 1
    cluster.do("apply", deployment(0, name="other"))
    assert said(cluster, "ReplicaSet")[0][2] == 1


def test_only_the_newest_stay_and_those_that_warn_longest() -> None:
    cluster = Cluster("cpu=400,pods=2000")
    cluster.do("apply", deployment(1, name="stuck", gpu=1))
    before = cluster.rows()
    cluster.do("apply", deployment(300))
    assert len(cluster.all("Event", limit=1000)) == events.LIMIT
    written = cluster.rows() - before
    assert written <= 300 + 2 + 2 * events.LIMIT
    assert "FailedScheduling" in {reason for reason, *_ in said(cluster, limit=1000)}


def test_they_go_after_an_hour(later: Any) -> None:
    cluster = Cluster("cpu=4")
    cluster.do("apply", deployment(1))
    old = {one["metadata"]["name"] for one in cluster.all("Event")}
    later(events.KEPT + timedelta(minutes=1))
    scale(cluster, 2)
    assert len(cluster.all("Event")) == len(old)
    assert not old & {one["metadata"]["name"] for one in cluster.all("Event")}


def test_what_people_applied_is_theirs_and_lists_hold_events_only_where_they_are_asked_for(later: Any) -> None:
    cluster = Cluster("cpu=4")
    mine = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "mine"}, "reason": "Because"}
    cluster.do("apply", mine)
    later(events.KEPT * 2)
    cluster.do("apply", deployment(1))
    assert cluster.object("Event", "mine")["reason"] == "Because"
    assert {one["kind"] for one in cluster.do("list", {})["items"]} == {"Node", "Deployment", "ReplicaSet", "Pod"}


def test_those_above_are_told_what_says_something_new() -> None:
    cluster = Cluster("cpu=4")
    cluster.do("apply", {"manifests": [deployment(1), deployment(1, name="stuck", gpu=1)]})
    reports = Reports("root", "local")

    def told() -> list[tuple[str, int]]:
        for one in cluster.all("Event"):
            reports.see(one, "t")
        changes = [change["object"] for draft in reports.take() for change in draft.data["changes"]]
        return sorted((one["reason"], one["count"]) for one in changes)

    assert told() == [("FailedScheduling", 1), ("ScalingReplicaSet", 1), ("ScalingReplicaSet", 1)]
    known: list[int] = []
    for _ in range(9):
        for replicas in (2, 1):
            scale(cluster, replicas)
        known += [count for _, count in told()]
    assert sorted(known) == sorted([1, 2, 4, 8] * 2), "up and down"

"""What the local cluster does by itself: pods on nodes, as far as these have room; rollouts; clearing away."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.unit.shims.small_cluster import Cluster


def deployment(replicas: int | None = 2, image: str = "web:1", name: str = "web", **more: Any) -> dict[str, Any]:
    """`more` are the requests of its container."""
    requests = {key.replace("gpu", "nvidia.com/gpu"): value for key, value in more.items()}
    container = {"name": "web", "image": image, "resources": {"requests": requests}}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    spec |= {} if replicas is None else {"replicas": replicas}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def strategy(manifest: dict[str, Any], **rolling: Any) -> dict[str, Any]:
    manifest = copy.deepcopy(manifest)
    manifest["spec"]["strategy"] = {"rollingUpdate": rolling} if rolling else {"type": "Recreate"}
    return manifest


def running(cluster: Cluster, **args: Any) -> list[str]:
    """The images that run."""
    pods = cluster.all("Pod", **args)
    return sorted(pod["spec"]["containers"][0]["image"] for pod in pods if pod["status"]["phase"] == "Running")


def why_pending(cluster: Cluster) -> list[str]:
    pods = [pod for pod in cluster.all("Pod") if pod["status"]["phase"] == "Pending"]
    assert all(pod["status"]["conditions"][0]["reason"] == "Unschedulable" for pod in pods)
    return [pod["status"]["conditions"][0]["message"] for pod in pods]


def condition(object: dict[str, Any], type: str) -> dict[str, Any]:
    [found] = [one for one in object["status"]["conditions"] if one["type"] == type]
    return found


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("2*cpu=4,memory=8Gi")


def test_nodes_are_there_from_the_start(cluster: Cluster) -> None:
    nodes = cluster.all("Node")
    assert [node["metadata"]["name"] for node in nodes] == ["node-1", "node-2"]
    expected = {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "32Gi", "pods": "110"}
    assert nodes[0]["status"]["capacity"] == nodes[0]["status"]["allocatable"] == expected
    assert condition(nodes[0], "Ready")["status"] == "True"


def test_a_deployment_gets_pods(cluster: Cluster) -> None:
    wanted = deployment(3, cpu="500m")
    wanted["spec"]["template"]["spec"]["runtimeClassName"] = "kata"
    answer = cluster.do("apply", wanted)
    assert [one["kind"] for one in answer["objects"]] == ["Deployment"]
    [replica_set] = cluster.all("ReplicaSet")
    pods = cluster.all("Pod")
    assert len(pods) == 3
    for pod in pods:
        name, made = pod["metadata"]["name"], replica_set["metadata"]["name"]
        assert name.startswith(f"{made}-") and len(name) == len(made) + 6
        assert pod["metadata"]["labels"] == {"app": "web", "pod-template-hash": made.removeprefix("web-")}
        assert pod["metadata"]["ownerReferences"][0]["uid"] == replica_set["metadata"]["uid"]
        assert pod["spec"]["nodeName"] in ("node-1", "node-2")
        assert pod["spec"]["runtimeClassName"] == "kata"
        assert pod["status"]["hostIP"] == {"node-1": "10.0.0.1", "node-2": "10.0.0.2"}[pod["spec"]["nodeName"]]
        assert condition(pod, "Ready")["status"] == "True"
        assert pod["status"]["containerStatuses"][0]["ready"] is True
    assert len({pod["status"]["podIP"] for pod in pods}) == len({pod["metadata"]["uid"] for pod in pods}) == 3
    status = cluster.object("Deployment", "web")["status"]
    counts = {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3}
    assert {name: status[name] for name in status if name != "conditions"} == counts
    assert cluster.do("rollout-status", {"name": "web"}) == {
        "done": True,
        "message": 'deployment "web" successfully rolled out',
    }


def test_pods_spread(cluster: Cluster) -> None:
    cluster.do("apply", deployment(4, cpu="1"))
    nodes = sorted(pod["spec"]["nodeName"] for pod in cluster.all("Pod"))
    assert nodes == ["node-1", "node-1", "node-2", "node-2"]


@pytest.mark.parametrize(
    ("more", "fits", "message"),
    [
        ({"cpu": "1500m"}, 4, "0/2 nodes are available: 2 Insufficient cpu."),
        ({"cpu": "1500m", "memory": "5Gi"}, 2, "0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient memory."),
        ({"memory": "8.1Gi"}, 0, "0/2 nodes are available: 2 Insufficient memory."),
        ({"gpu": 1}, 0, "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."),
    ],
)
def test_what_fits_nowhere_is_pending(cluster: Cluster, more: dict[str, Any], fits: int, message: str) -> None:
    if "memory" in more and "cpu" in more:
        more = {"cpu": "2500m", "memory": "5Gi"}
    cluster.do("apply", deployment(6, **more))
    assert len(running(cluster)) == fits
    assert why_pending(cluster) == [message] * (6 - fits)
    status = cluster.object("Deployment", "web")["status"]
    assert (status.get("readyReplicas", 0), status["unavailableReplicas"]) == (fits, 6 - fits)
    assert condition({"status": status}, "Available")["reason"] == "MinimumReplicasUnavailable"
    assert cluster.do("rollout-status", {"name": "web"})["message"] == (
        f'Waiting for deployment "web" rollout to finish: {fits} of 6 updated replicas are available...'
    )


def test_room_for_one_is_room_for_the_next() -> None:
    cluster = Cluster("cpu=2,nvidia.com/gpu=1", "cpu=1")
    cluster.do("apply", deployment(2, name="train", cpu="500m", gpu=1))
    assert why_pending(cluster) == ["0/2 nodes are available: 2 Insufficient nvidia.com/gpu."]
    cluster.do("apply", deployment(2, name="more", gpu=1))
    assert len(why_pending(cluster)) == 3
    cluster.do("delete", {"kind": "Deployment", "name": "train"})
    assert len(running(cluster)) == 1 and len(why_pending(cluster)) == 1
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "extra"}}
    cluster.do("apply", node | {"status": {"capacity": {"cpu": 1, "pods": 9, "nvidia.com/gpu": "4"}}})
    assert len(running(cluster)) == 2 and not why_pending(cluster)


def test_no_nodes_at_all() -> None:
    cluster = Cluster()
    cluster.do("apply", deployment(1))
    assert why_pending(cluster) == ["no nodes available to schedule pods"]


def test_where_pods_may_go(cluster: Cluster) -> None:
    def node(name: str, **spec: Any) -> dict[str, Any]:
        labels = {"zone": name}
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec}

    taint = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}
    cluster.do("apply", {"manifests": [node("node-1", unschedulable=True), node("node-2", taints=[taint])]})
    cluster.do("apply", deployment(1))
    assert why_pending(cluster) == [
        "0/2 nodes are available: 1 node(s) had untolerated taint {dedicated: gpu}, 1 node(s) were unschedulable."
    ]
    wanted = deployment(1)
    wanted["spec"]["template"]["spec"]["tolerations"] = [{"key": "dedicated", "operator": "Exists"}]
    wanted["spec"]["template"]["spec"]["nodeSelector"] = {"zone": "node-2"}
    cluster.do("apply", wanted)
    [pod] = cluster.all("Pod")
    assert pod["spec"]["nodeName"] == "node-2"
    wanted["spec"]["template"]["spec"]["nodeSelector"] = {"zone": "elsewhere"}
    cluster.do("apply", wanted)
    assert why_pending(cluster) == [
        "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) were unschedulable."
    ]


def test_a_node_that_goes_is_replaced_by_the_others(cluster: Cluster) -> None:
    cluster.do("apply", deployment(4, cpu="1"))
    cluster.do("delete", {"kind": "Node", "name": "node-2"})
    assert [pod["spec"]["nodeName"] for pod in cluster.all("Pod")] == ["node-1"] * 4
    assert cluster.begin(["2*cpu=4,memory=8Gi"]) == 1
    assert cluster.begin(["2*cpu=4,memory=8Gi"]) == 0
    cluster.do("apply", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "mine"}})
    cluster.begin(["cpu=8"])
    assert [node["metadata"]["name"] for node in cluster.all("Node")] == ["mine", "node-1"]
    assert cluster.object("Node", "node-1")["status"]["capacity"]["cpu"] == "8"


def test_what_people_set_on_a_node_stays_over_a_start(cluster: Cluster) -> None:
    cordon = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}, "spec": {"unschedulable": True}}
    cluster.do("apply", cordon)
    assert cluster.begin(["2*cpu=4,memory=8Gi"]) == 0
    cluster.do("apply", deployment(2))
    assert {pod["spec"]["nodeName"] for pod in cluster.all("Pod")} == {"node-2"}


def test_scale(cluster: Cluster) -> None:
    cluster.do("apply", deployment(1))
    [first] = cluster.all("Pod")
    told = {"kind": "Deployment", "name": "web", "namespace": "default"}
    assert cluster.do("scale", {"name": "web", "replicas": "3"}) == {"objects": [told | {"result": "configured"}]}
    assert first in cluster.all("Pod") and len(cluster.all("Pod")) == 3
    rows = cluster.rows()
    assert (
        cluster.do("scale", {"kind": "Deployment", "name": "web", "replicas": 3})["objects"][0]["result"] == "unchanged"
    )
    assert cluster.rows() == rows
    cluster.do("apply", deployment(None))
    assert len(cluster.all("Pod")) == 3, "who does not say how many leaves them"
    cluster.do("scale", {"name": "web", "replicas": 0})
    assert cluster.all("Pod") == []
    web = cluster.object("Deployment", "web")
    assert (web["metadata"]["generation"], web["status"]["observedGeneration"]) == (3, 3)


@pytest.mark.parametrize(
    ("verb", "args", "code", "field"),
    [
        ("scale", {"name": "web"}, "bad-request", "replicas"),
        ("scale", {"name": "web", "replicas": -1}, "bad-request", "replicas"),
        ("scale", {"name": "web", "replicas": "many"}, "bad-request", "replicas"),
        ("scale", {"name": "web", "replicas": True}, "bad-request", "replicas"),
        ("scale", {"name": "web", "replicas": 1, "replica": 2}, "bad-request", "replica"),
        ("scale", {"replicas": 1}, "bad-request", "name"),
        ("scale", {"name": "nobody", "replicas": 1}, "not-found", None),
        ("scale", {"kind": "ConfigMap", "name": "c", "replicas": 1}, "bad-request", "kind"),
        ("rollout-restart", {"kind": "ConfigMap", "name": "c"}, "bad-request", "kind"),
        ("rollout-status", {"name": "web", "namespace": "x"}, "not-found", None),
        ("rollout-undo", {"name": "web", "toRevision": 7}, "not-found", "toRevision"),
        ("rollout-undo", {"name": "web"}, "refused", None),
    ],
)
def test_what_the_verbs_refuse(cluster: Cluster, verb: str, args: dict[str, Any], code: str, field: str | None) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    cluster.do("apply", {"manifests": [deployment(1), config]})
    error = cluster.fails(verb, args)
    assert (error["code"], error.get("field")) == (code, field)


def test_a_rollout_replaces_all_pods(cluster: Cluster) -> None:
    cluster.do("apply", deployment(4))
    old = cluster.all("Pod")
    cluster.do("apply", deployment(4, "web:2"))
    assert running(cluster) == ["web:2"] * 4
    assert not {pod["metadata"]["name"] for pod in old} & {pod["metadata"]["name"] for pod in cluster.all("Pod")}
    sets = {
        one["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: one for one in cluster.all("ReplicaSet")
    }
    assert (sets["1"]["spec"]["replicas"], sets["2"]["spec"]["replicas"]) == (0, 4)
    assert sets["1"]["status"] == {"replicas": 0, "observedGeneration": sets["1"]["metadata"]["generation"]}
    web = cluster.object("Deployment", "web")
    assert web["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    assert condition(web, "Progressing")["reason"] == "NewReplicaSetAvailable"


def test_a_rollout_that_does_not_fit_keeps_enough_of_the_old(cluster: Cluster) -> None:
    cluster.do("apply", strategy(deployment(4, cpu="2"), maxSurge=1, maxUnavailable=1))
    cluster.do("apply", strategy(deployment(4, "web:2", cpu="3"), maxSurge=1, maxUnavailable=1))
    assert running(cluster) == ["web:1"] * 3
    assert len(why_pending(cluster)) == 2
    web = cluster.object("Deployment", "web")
    assert web["status"]["updatedReplicas"] == 2 and web["status"]["availableReplicas"] == 3
    assert condition(web, "Progressing")["reason"] == "ReplicaSetUpdated"
    assert condition(web, "Available")["status"] == "True"
    assert cluster.do("rollout-status", {"name": "web"})["done"] is False
    cluster.do("rollout-undo", {"name": "web"})
    assert running(cluster) == ["web:1"] * 4 and not why_pending(cluster)


def test_a_full_cluster_rolls_by_making_room() -> None:
    cluster = Cluster("cpu=4")
    cluster.do("apply", strategy(deployment(4, cpu="1"), maxSurge=0, maxUnavailable=1))
    cluster.do("apply", strategy(deployment(4, "web:2", cpu="1"), maxSurge=0, maxUnavailable=1))
    assert running(cluster) == ["web:2"] * 4
    cluster.do("apply", strategy(deployment(4, "web:3", cpu="1"), maxSurge=1, maxUnavailable=0))
    assert running(cluster) == ["web:2"] * 4 and len(why_pending(cluster)) == 1


def test_recreate(cluster: Cluster) -> None:
    cluster.do("apply", strategy(deployment(2, cpu="4")))
    cluster.do("apply", strategy(deployment(2, "web:2", cpu="4")))
    assert running(cluster) == ["web:2"] * 2


def test_undo_and_history(cluster: Cluster) -> None:
    for image in ("web:1", "web:2", "web:3"):
        cluster.do("apply", deployment(2, image))

    def revisions() -> list[tuple[int, str, int]]:
        found = cluster.do("rollout-history", {"name": "web"})["revisions"]
        return [(one["revision"], one["images"][0], one["replicas"]) for one in found]

    assert revisions() == [(1, "web:1", 0), (2, "web:2", 0), (3, "web:3", 2)]
    cluster.do("rollout-undo", {"name": "web"})
    assert running(cluster) == ["web:2"] * 2
    assert revisions() == [(1, "web:1", 0), (3, "web:3", 0), (4, "web:2", 2)]
    cluster.do("rollout-undo", {"name": "web", "toRevision": 1})
    assert running(cluster) == ["web:1"] * 2
    spec = cluster.object("Deployment", "web")["spec"]
    assert spec["template"] == deployment(2, "web:1")["spec"]["template"]
    few = deployment(2, "web:9")
    few["spec"]["revisionHistoryLimit"] = 1
    cluster.do("apply", few)
    assert revisions() == [(5, "web:1", 0), (6, "web:9", 2)]


def test_restart(cluster: Cluster) -> None:
    cluster.do("apply", deployment(2))
    before = {pod["metadata"]["uid"] for pod in cluster.all("Pod")}
    cluster.do("rollout-restart", {"name": "web"})
    after = cluster.all("Pod")
    assert len(after) == 2 and not before & {pod["metadata"]["uid"] for pod in after}
    assert "kubectl.kubernetes.io/restartedAt" in after[0]["metadata"]["annotations"]
    assert cluster.do("apply", deployment(2))["objects"][0]["result"] == "unchanged"


def test_a_paused_deployment_waits(cluster: Cluster) -> None:
    cluster.do("apply", deployment(2))
    cluster.do("rollout-pause", {"name": "web"})
    cluster.do("apply", deployment(3, "web:2"))
    assert running(cluster) == ["web:1"] * 3, "scaled, and not rolled"
    assert condition(cluster.object("Deployment", "web"), "Progressing")["reason"] == "DeploymentPaused"
    cluster.do("rollout-resume", {"name": "web"})
    assert running(cluster) == ["web:2"] * 3


def test_a_pod_that_is_deleted_comes_back(cluster: Cluster) -> None:
    cluster.do("apply", deployment(2))
    [first, second] = cluster.all("Pod")
    answer = cluster.do("delete", {"kind": "Pod", "name": first["metadata"]["name"]})
    assert [one["result"] for one in answer["objects"]] == ["deleted"]
    names = {pod["metadata"]["name"] for pod in cluster.all("Pod")}
    assert len(names) == 2 and second["metadata"]["name"] in names and first["metadata"]["name"] not in names


def test_what_is_owned_goes_with_its_owner(cluster: Cluster) -> None:
    cluster.do("apply", {"manifests": [deployment(2), deployment(1, name="other")]})
    cluster.do("apply", deployment(2, "web:2"))
    answer = cluster.do("delete", {"kind": "Deployment", "name": "web"})
    assert [one["name"] for one in answer["objects"]] == ["web"]
    assert [one["metadata"]["labels"]["app"] for one in cluster.all("ReplicaSet") + cluster.all("Pod")] == ["other"] * 2


def test_pods_and_replica_sets_of_their_own(cluster: Cluster) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": {"containers": [{"name": "c"}]}}
    cluster.do("apply", pod)
    assert cluster.object("Pod", "one")["spec"]["nodeName"] == "node-1"
    assert cluster.do("apply", pod)["objects"][0]["result"] == "unchanged"
    template = deployment()["spec"]["template"]
    replica_set = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "set"}}
    cluster.do("apply", replica_set | {"spec": {"replicas": 2, "template": template}})
    assert len(running(cluster, labelSelector="app=web")) == 2
    assert cluster.object("ReplicaSet", "set")["status"]["availableReplicas"] == 2


def test_versions_move_with_what_changes(cluster: Cluster) -> None:
    def versions() -> dict[str, int]:
        found = cluster.do("list", {})["items"]
        return {one["metadata"]["uid"]: int(one["metadata"]["resourceVersion"]) for one in found}

    seen: set[int] = set()
    for replicas, image in ((2, "web:1"), (3, "web:1"), (3, "web:2"), (1, "web:2")):
        before = versions()
        cluster.do("apply", deployment(replicas, image))
        after = versions()
        changed = {after[uid] for uid in after if after[uid] != before.get(uid)}
        assert changed and min(changed) > max([0, *seen]) and len(set(after.values())) == len(after)
        seen |= changed
    assert cluster.object("Deployment", "web")["metadata"]["generation"] == 4
    node = cluster.object("Node", "node-1")
    assert node["metadata"]["resourceVersion"] == "1", "nothing of a node has changed"


def test_a_status_that_is_applied_has_no_effect(cluster: Cluster) -> None:
    cluster.do("apply", deployment(2))
    exported = cluster.object("Deployment", "web")
    exported["status"] = {"replicas": 99}
    assert cluster.do("apply", exported)["objects"][0]["result"] == "configured", "it now owns what it did not"
    assert cluster.object("Deployment", "web")["status"]["replicas"] == 2


def test_a_cluster_has_only_so_many_pods(cluster: Cluster) -> None:
    cluster.do("apply", deployment(5000))
    web = cluster.object("Deployment", "web")
    assert (web["status"]["replicas"], web["status"]["availableReplicas"]) == (1000, 220)
    assert "exceeded quota" in condition(web, "ReplicaFailure")["message"]
    cluster.do("scale", {"name": "web", "replicas": 10})
    assert [one["type"] for one in cluster.object("Deployment", "web")["status"]["conditions"]] == [
        "Available",
        "Progressing",
    ]


def test_a_kind_without_a_controller_costs_what_it_costs(cluster: Cluster) -> None:
    asked: list[str] = []
    reader = type(cluster.log.query(lambda reader: reader))
    whole = reader.objects

    def objects(self: Any, **args: Any) -> Any:
        asked.append(str(args))
        return whole(self, **args)

    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    try:
        reader.objects = objects  # type: ignore[method-assign]
        rows = cluster.rows()
        cluster.do("apply", config)
        assert (asked, cluster.rows()) == ([], rows + 1)
        cluster.do("apply", deployment(1))
        assert asked
    finally:
        reader.objects = whole  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("spec", "field", "text"),
    [
        ({"replicas": -1}, "replicas", "must be greater than or equal to 0"),
        ({"replicas": "2"}, "replicas", "must be a whole number"),
        ({"replicas": 2**40}, "replicas", "must be greater"),
        ({"strategy": {"type": "Big"}}, "strategy.type", "Unsupported value"),
        ({"strategy": {"rollingUpdate": {"maxSurge": "a"}}}, "strategy.rollingUpdate.maxSurge", "percentage"),
        ({"strategy": []}, "strategy", "must be a map"),
        ({"template": []}, "template", "must be a map"),
        ({"template": {"metadata": {"labels": {"-": ""}}}}, "template.metadata.labels", "label key"),
        ({"template": {"spec": {"containers": [{}]}}}, "template.spec.containers[0].name", "Required value"),
        ({"template": {"spec": {"nodeSelector": "x"}}}, "template.spec.nodeSelector", "must be a map"),
        ({"template": {"spec": {"tolerations": "x"}}}, "template.spec.tolerations", "list of tolerations"),
    ],
)
def test_a_deployment_that_can_not_be_understood_is_refused(
    cluster: Cluster, spec: dict[str, Any], field: str, text: str
) -> None:
    wanted = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    error = cluster.fails("apply", {"manifests": [deployment(name="fine"), wanted]})
    assert error["field"] == f"manifests[1].spec.{field}"
    assert error["message"].startswith(f'Deployment.apps "web" is invalid: spec.{field}: ') and text in error["message"]
    assert cluster.all("Pod") == []

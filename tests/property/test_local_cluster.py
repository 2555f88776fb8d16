"""Whatever a Deployment says: it is refused with a field, or the cluster comes to rest, and to the same rest again."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.shims.local.cluster.quantities import amount
from tests.unit.shims.small_cluster import Cluster

odd = (
    st.none() | st.booleans() | st.integers(-2, 7) | st.sampled_from(["", "x", "25%", "1"]) | st.just([]) | st.just({})
)
amounts = st.sampled_from(["500m", "1", "2500m", "1Gi", 3, 0.25]) | odd
requests = st.dictionaries(st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]), amounts, max_size=2)
containers = st.builds(lambda wanted: {"name": "c", "resources": {"requests": wanted}}, requests) | odd
pods = st.fixed_dictionaries({"containers": st.lists(containers, max_size=2)}, optional={"nodeSelector": odd})
templates = st.builds(
    lambda spec, image: {"metadata": {"labels": {"v": image}}, "spec": spec}, pods, st.sampled_from("ab")
)
rolling = st.fixed_dictionaries({}, optional={"maxSurge": odd, "maxUnavailable": odd})
strategies = st.builds(lambda kind, rolling: {"type": kind, "rollingUpdate": rolling}, odd, rolling)
specs = st.fixed_dictionaries(
    {"template": templates | odd}, optional={"replicas": odd, "strategy": strategies | odd, "paused": odd}
)
deeds = st.tuples(st.sampled_from(["web", "db"]), specs | st.none())


plain = {"template": {"metadata": {"labels": {"v": "a"}}, "spec": {"containers": []}}}


@settings(max_examples=60)
@example([("web", plain), ("web", {"template": None})])
@given(st.lists(deeds, max_size=6))
def test_any_deployments(history: list[tuple[str, Any]]) -> None:
    cluster = Cluster("2*cpu=4,memory=2Gi,nvidia.com/gpu=1,pods=6")
    for name, spec in history:
        named = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}}
        if spec is None:
            cluster.do("delete", {"manifest": named, "ignoreNotFound": True})
        elif not (answer := cluster.answer("apply", named | {"spec": spec})).ok:
            assert answer.error is not None and answer.error.field is not None and answer.error.field.startswith("spec")
        _holds(cluster)
        assert cluster.begin(["2*cpu=4,memory=2Gi,nvidia.com/gpu=1,pods=6"]) == 0, "it was at rest"


def _holds(cluster: Cluster) -> None:
    owners = {one["metadata"]["uid"] for one in cluster.all("Deployment") + cluster.all("ReplicaSet")}
    taken: dict[tuple[str, str], int] = {}
    for pod in cluster.all("Pod"):
        assert pod["metadata"]["ownerReferences"][0]["uid"] in owners
        assert (pod["status"]["phase"] == "Running") == ("nodeName" in pod["spec"])
        if node := pod["spec"].get("nodeName"):
            taken[node, "pods"] = taken.get((node, "pods"), 0) + 1
            for container in pod["spec"].get("containers") or []:
                for resource, many in (container["resources"].get("requests") or {}).items():
                    taken[node, resource] = taken.get((node, resource), 0) + amount(resource, many)
    allocatable = {node["metadata"]["name"]: node["status"]["allocatable"] for node in cluster.all("Node")}
    for (node, resource), many in taken.items():
        assert many <= amount(resource, allocatable[node][resource])
    for deployment in cluster.all("Deployment"):
        status = deployment.get("status", {"observedGeneration": deployment["metadata"].get("generation")})
        assert status["observedGeneration"] == deployment["metadata"].get("generation")

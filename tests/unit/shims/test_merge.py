"""What an apply makes of what is there."""

from __future__ import annotations

from typing import Any

import pytest

from services.shims.local.objects import Stamp, applied

CONTAINER = {"name": "web", "image": "shop/web:1", "ports": [{"containerPort": 80}]}


def stamp(version: int) -> Stamp:
    return Stamp(f"uid-{version}", str(version), f"2026-11-23T06:00:{version:02d}Z")


class Cluster:
    """One object, applied to again and again."""

    def __init__(self) -> None:
        self.object: dict[str, Any] | None = None
        self.version = 0

    def apply(self, manager: str = "a", /, **parts: Any) -> dict[str, Any]:
        self.version += 1
        metadata = {"name": "web"} | parts.pop("metadata", {})
        manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, **parts}
        self.object = applied(self.object, manifest, manager, stamp(self.version))
        return self.object

    def spec(self, manager: str = "a", /, **spec: Any) -> Any:
        return self.apply(manager, spec=spec).get("spec")


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_a_new_object_gets_the_servers_metadata(cluster: Cluster) -> None:
    made = cluster.apply(spec={"replicas": 2}, metadata={"labels": {"app": "web"}, "creationTimestamp": None})
    assert made["metadata"] == {
        "name": "web",
        "labels": {"app": "web"},
        "uid": "uid-1",
        "resourceVersion": "1",
        "generation": 1,
        "creationTimestamp": "2026-11-23T06:00:01Z",
        "managedFields": [
            {
                "manager": "a",
                "operation": "Apply",
                "apiVersion": "apps/v1",
                "time": "2026-11-23T06:00:01Z",
                "fieldsType": "FieldsV1",
                "fieldsV1": {"f:spec": {"f:replicas": {}}, "f:metadata": {"f:labels": {"f:app": {}}}},
            }
        ],
    }
    assert list(made)[:3] == ["apiVersion", "kind", "metadata"]


def test_the_same_again_is_the_same_object(cluster: Cluster) -> None:
    first = cluster.apply(spec={"template": {"spec": {"containers": [CONTAINER]}}})
    assert cluster.apply(spec={"template": {"spec": {"containers": [CONTAINER]}}}) is first


def test_what_was_exported_can_be_applied_again(cluster: Cluster) -> None:
    first = cluster.apply(spec={"replicas": 2})
    assert applied(first, first, "a", stamp(9)) is first


def test_generation_moves_with_the_spec_only(cluster: Cluster) -> None:
    cluster.apply(spec={"replicas": 1})
    labelled = cluster.apply(spec={"replicas": 1}, metadata={"labels": {"a": "b"}})
    assert (labelled["metadata"]["generation"], labelled["metadata"]["resourceVersion"]) == (1, "2")
    assert cluster.apply(spec={"replicas": 2})["metadata"]["generation"] == 2
    assert cluster.apply()["metadata"]["generation"] == 3
    assert "generation" not in Cluster().apply(data={"a": "1"})["metadata"]


def test_identity_is_kept(cluster: Cluster) -> None:
    cluster.apply(spec={"replicas": 1})
    later = cluster.apply(spec={"replicas": 2}, metadata={"uid": "mine", "resourceVersion": "77"})["metadata"]
    assert (later["uid"], later["creationTimestamp"]) == ("uid-1", "2026-11-23T06:00:01Z")


def test_true_is_not_one(cluster: Cluster) -> None:
    cluster.spec(flag=1)
    assert cluster.spec(flag=True) == {"flag": True}
    assert cluster.version == 2 and cluster.object and cluster.object["metadata"]["resourceVersion"] == "2"


def test_maps_merge_deeply_and_omitted_fields_go(cluster: Cluster) -> None:
    cluster.spec(strategy={"type": "Rolling", "max": {"surge": 1}}, paused=True)
    assert cluster.spec(strategy={"max": {"surge": 2}}) == {"strategy": {"max": {"surge": 2}}}
    assert cluster.spec(strategy={}) == {"strategy": {}}
    assert cluster.spec() == {}
    assert "spec" not in cluster.apply()


def test_null_removes(cluster: Cluster) -> None:
    cluster.spec("b", replicas=3, strategy={"type": "x"})
    assert cluster.spec("a", replicas=None, strategy={"type": None}) == {"strategy": {}}


def test_another_managers_fields_stay(cluster: Cluster) -> None:
    cluster.spec("a", replicas=1, paused=True)
    assert cluster.spec("b", minReadySeconds=5) == {"replicas": 1, "paused": True, "minReadySeconds": 5}
    assert cluster.spec("a", replicas=2) == {"replicas": 2, "minReadySeconds": 5}


def test_a_field_that_two_own_goes_with_the_second(cluster: Cluster) -> None:
    cluster.spec("a", replicas=1, paused=True)
    cluster.spec("b", replicas=1)
    assert cluster.spec("a", paused=True) == {"replicas": 1, "paused": True}
    assert cluster.spec("b") == {"paused": True}


def test_who_sets_another_value_takes_the_field_over(cluster: Cluster) -> None:
    cluster.spec("a", replicas=1, paused=True)
    cluster.spec("b", replicas=5)
    managed = {entry["manager"]: entry["fieldsV1"] for entry in cluster.object["metadata"]["managedFields"]}  # type: ignore[index]
    assert managed == {"a": {"f:spec": {"f:paused": {}}}, "b": {"f:spec": {"f:replicas": {}}}}
    assert cluster.spec("b") == {"paused": True}


def test_a_manager_that_owns_nothing_more_is_forgotten(cluster: Cluster) -> None:
    cluster.spec("a", replicas=1)
    cluster.spec("b", replicas=2)
    assert [entry["manager"] for entry in cluster.object["metadata"]["managedFields"]] == ["b"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("field", "one", "two"),
    [
        ("containers", {"name": "web", "image": "1"}, {"name": "log", "image": "1"}),
        ("env", {"name": "A", "value": "1"}, {"name": "B", "value": "2"}),
        ("volumeMounts", {"mountPath": "/a", "name": "v"}, {"mountPath": "/b", "name": "v"}),
        ("hostAliases", {"ip": "10.0.0.1", "hostnames": ["a"]}, {"ip": "10.0.0.2", "hostnames": ["b"]}),
        ("ports", {"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}),
        ("ports", {"port": 80, "name": "a"}, {"port": 443, "name": "b"}),
        ("conditions", {"type": "Ready", "status": "True"}, {"type": "Live", "status": "True"}),
    ],
)
def test_lists_with_keys_merge_by_item(cluster: Cluster, field: str, one: dict[str, Any], two: dict[str, Any]) -> None:
    cluster.spec("a", **{field: [one]})
    assert cluster.spec("b", **{field: [two]}) == {field: [one, two]}
    assert cluster.spec("a", **{field: [one | {"extra": "x"}]}) == {field: [one | {"extra": "x"}, two]}
    assert cluster.spec("a", **{field: []}) == {field: [two]}
    assert cluster.spec("b") == {field: []}


def test_an_item_that_two_own_keeps_what_the_second_set(cluster: Cluster) -> None:
    cluster.spec("a", containers=[{"name": "web", "image": "1", "tty": True}])
    cluster.spec("b", containers=[{"name": "web", "image": "1"}])
    assert cluster.spec("a") == {"containers": [{"name": "web", "image": "1"}]}


def test_the_default_protocol_is_tcp(cluster: Cluster) -> None:
    cluster.spec("a", ports=[{"containerPort": 80, "name": "http"}])
    merged = cluster.spec("b", ports=[{"containerPort": 80, "protocol": "TCP"}])
    assert merged == {"ports": [{"containerPort": 80, "name": "http", "protocol": "TCP"}]}


def test_other_lists_are_one_value(cluster: Cluster) -> None:
    cluster.spec("a", args=["x", "y"], tolerations=[{"key": "a"}], sites=[{"name": "s1"}])
    after = cluster.spec("b", args=["z"], tolerations=[{"key": "b"}], sites=[{"name": "s2"}])
    assert after == {"args": ["z"], "tolerations": [{"key": "b"}], "sites": [{"name": "s2"}]}


def test_items_without_distinct_keys_are_one_value(cluster: Cluster) -> None:
    twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    cluster.spec("a", env=[{"name": "A", "value": "0"}])
    assert cluster.spec("a", env=twice) == {"env": twice}
    assert cluster.spec("a", env=["A=1"]) == {"env": ["A=1"]}
    assert cluster.spec("a", env=[{"name": "B"}]) == {"env": [{"name": "B"}]}


def test_the_order_is_that_of_the_manifest_and_does_not_flap(cluster: Cluster) -> None:
    def names(*names: str) -> list[dict[str, str]]:
        return [{"name": name} for name in names]

    cluster.spec("a", initContainers=names("x", "y"))
    assert cluster.spec("a", initContainers=names("y", "x")) == {"initContainers": names("y", "x")}
    assert cluster.spec("b", initContainers=names("z")) == {"initContainers": names("y", "x", "z")}
    before = cluster.object
    cluster.spec("a", initContainers=names("y", "x"))
    cluster.spec("b", initContainers=names("z"))
    assert cluster.object is before
    assert cluster.spec("a", initContainers=names("x", "w", "y")) == {"initContainers": names("x", "z", "w", "y")}


def test_a_value_may_change_its_type(cluster: Cluster) -> None:
    cluster.spec("a", x={"deep": {"er": 1}})
    assert cluster.spec("a", x="text") == {"x": "text"}
    assert cluster.spec("a", x=[1]) == {"x": [1]}
    assert cluster.spec("a", x={"deep": 2}) == {"x": {"deep": 2}}

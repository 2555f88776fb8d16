"""The local shim: manifests in, objects in the log, answers that Kubernetes users know."""

from __future__ import annotations

from typing import Any

import pytest

from services.shims.base import idempotent, objects_of
from tests.unit.shims.small_cluster import Cluster

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "web", "image": "shop/web:1"}]}}},
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web", "tier": "front"}},
    "spec": {"ports": [{"port": 80}]},
}
SETTINGS = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "web", "namespace": "shop"},
    "data": {"a": "1"},
}
SHOP = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.bus.example.com"},
    "spec": {"scope": "Cluster", "group": "bus.example.com", "names": {"kind": "Widget", "plural": "widgets"}},
}
WIDGET = {"apiVersion": "bus.example.com/v1", "kind": "Widget", "metadata": {"name": "w1"}, "spec": {"size": 1}}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def results(result: Any) -> list[str]:
    return [f"{one['kind']} {one['namespace']}/{one['name']} {one['result']}" for one in result["objects"]]


def test_apply_says_what_became_of_each_object(cluster: Cluster) -> None:
    first = cluster.do("apply", {"manifests": [SHOP, SERVICE, SETTINGS, DEPLOYMENT]})
    assert results(first) == [
        "Namespace /shop created",
        "Service shop/web created",
        "ConfigMap shop/web created",
        "Deployment default/web created",
    ]
    rows = cluster.log.query(lambda reader: reader.last_row())
    again = cluster.do("apply", {"manifests": [SHOP, SERVICE, SETTINGS | {"data": {"a": "2"}}, DEPLOYMENT]})
    assert [one["result"] for one in again["objects"]] == ["unchanged", "unchanged", "configured", "unchanged"]
    assert cluster.log.query(lambda reader: reader.last_row()) == rows + 1


@pytest.mark.parametrize(
    "args",
    [
        DEPLOYMENT,
        {"manifest": DEPLOYMENT},
        {"manifests": [DEPLOYMENT], "fieldManager": "kubectl"},
        {"manifest": {"apiVersion": "v1", "kind": "List", "items": [DEPLOYMENT]}},
        {"apiVersion": "v1", "kind": "List", "items": [DEPLOYMENT]},
    ],
)
def test_the_forms_of_apply_and_delete(cluster: Cluster, args: dict[str, Any]) -> None:
    assert results(cluster.do("apply", args)) == ["Deployment default/web created"]
    made = cluster.object("Deployment", "web")
    assert made["metadata"]["namespace"] == "default"
    assert made["metadata"]["managedFields"][0]["manager"] == args.get("fieldManager", "ote")
    args = {key: value for key, value in args.items() if key != "fieldManager"}
    assert results(cluster.do("delete", args)) == ["Deployment default/web deleted"]


def test_objects_of_cluster_scoped_kinds_have_no_namespace(cluster: Cluster) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "namespace": "shop"}}
    assert results(cluster.do("apply", {"manifest": node})) == ["Node /n1 created"]
    assert "namespace" not in cluster.object("Node", "n1")["metadata"]


def test_a_definition_says_that_its_kind_has_no_namespace(cluster: Cluster) -> None:
    assert results(cluster.do("apply", {"manifests": [WIDGETS, WIDGET]}))[1] == "Widget /w1 created"
    assert results(cluster.do("apply", {"manifest": WIDGET})) == ["Widget /w1 unchanged"]
    assert cluster.do("get", {"kind": "Widget", "name": "w1"})["spec"] == {"size": 1}
    assert results(Cluster().do("apply", {"manifest": WIDGET})) == ["Widget default/w1 created"]


def test_resource_versions_grow_and_differ(cluster: Cluster) -> None:
    cluster.do("apply", {"manifests": [SERVICE, SETTINGS]})
    cluster.do("apply", {"manifest": DEPLOYMENT})
    found = [cluster.object("Service", "web", "shop"), cluster.object("ConfigMap", "web", "shop")]
    found.append(cluster.object("Deployment", "web"))
    versions = [int(one["metadata"]["resourceVersion"]) for one in found]
    assert versions == sorted(set(versions))


def test_one_request_sees_its_own_changes(cluster: Cluster) -> None:
    more = DEPLOYMENT | {"metadata": {"name": "web", "labels": {"app": "web", "a": "b"}}}
    assert [one["result"] for one in cluster.do("apply", {"manifests": [DEPLOYMENT, more, more]})["objects"]] == [
        "created",
        "configured",
        "unchanged",
    ]
    twice = {"manifests": [DEPLOYMENT, DEPLOYMENT], "ignoreNotFound": True}
    assert [one["result"] for one in cluster.do("delete", twice)["objects"]] == ["deleted", "absent"]


def test_delete_by_reference(cluster: Cluster) -> None:
    cluster.do("apply", {"manifests": [DEPLOYMENT, SERVICE]})
    assert results(cluster.do("delete", {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"})) == [
        "Deployment default/web deleted"
    ]
    assert results(cluster.do("delete", {"kind": "Service", "name": "web", "namespace": "shop"})) == [
        "Service shop/web deleted"
    ]
    assert cluster.do("list", {})["items"] == []


def test_what_is_not_there_cannot_be_deleted_unless_that_is_said(cluster: Cluster) -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    assert cluster.fails("delete", reference) == {
        "code": "not-found",
        "message": "Deployment.apps \"web\" not found in namespace 'default'",
    }
    assert cluster.do("delete", reference | {"ignoreNotFound": True})["objects"][0]["result"] == "absent"
    cluster.do("apply", {"manifest": DEPLOYMENT})
    assert cluster.fails("delete", {"manifests": [DEPLOYMENT, SERVICE]})["field"] == "manifests[1]"
    assert cluster.object("Deployment", "web")


def test_get(cluster: Cluster) -> None:
    cluster.do("apply", {"manifests": [DEPLOYMENT, SERVICE]})
    assert cluster.object("Service", "web", "shop")["spec"] == SERVICE["spec"]
    assert cluster.do("get", {"manifest": DEPLOYMENT})["kind"] == "Deployment"
    several = cluster.do("get", {"manifests": [DEPLOYMENT, SERVICE]})
    assert (several["kind"], [one["kind"] for one in several["items"]]) == ("List", ["Deployment", "Service"])
    assert cluster.fails("get", {"kind": "Service", "name": "web"})["code"] == "not-found"


def test_a_reference_that_fits_two_groups(cluster: Cluster) -> None:
    other = {"apiVersion": "old.example.com/v1", "kind": "Deployment", "metadata": {"name": "web"}}
    cluster.do("apply", {"manifests": [DEPLOYMENT, other]})
    error = cluster.fails("delete", {"kind": "Deployment", "name": "web"})
    assert "is in several groups: apps/v1, old.example.com/v1" in error["message"]
    assert error["hint"] == "say apiVersion"


def test_list(cluster: Cluster) -> None:
    cluster.do("apply", {"manifests": [SHOP, DEPLOYMENT, SERVICE, SETTINGS]})

    def kinds(**args: Any) -> list[str]:
        return [one["kind"] for one in cluster.do("list", args)["items"]]

    assert kinds() == ["ConfigMap", "Deployment", "Namespace", "Pod", "Pod", "ReplicaSet", "Service"]
    assert kinds(kind="Service") == ["Service"]
    assert kinds(namespace="shop") == ["ConfigMap", "Service"]
    assert kinds(apiVersion="apps/v1") == ["Deployment", "ReplicaSet"]
    assert kinds(labelSelector="app=web") == ["Deployment", "Service"]
    assert kinds(labelSelector="app=web,tier!=front") == ["Deployment"]
    assert kinds(kind="Secret") == []
    cut = cluster.do("list", {"limit": 3})
    assert (len(cut["items"]), cut["metadata"]) == (3, {"remainingItemCount": 4})


def test_a_list_fits_into_an_answer(cluster: Cluster) -> None:
    big = [SETTINGS | {"metadata": {"name": f"m{n}"}, "data": {"x": "x" * 50_000}} for n in range(6)]
    cluster.do("apply", {"manifests": big})
    cut = cluster.do("list", {})
    assert 0 < len(cut["items"]) < 6
    assert len(cut["items"]) + cut["metadata"]["remainingItemCount"] == 6


def manifest(**changes: Any) -> dict[str, Any]:
    return {"manifests": [SHOP, {key: value for key, value in (DEPLOYMENT | changes).items() if value is not None}]}


@pytest.mark.parametrize(
    ("args", "field", "message"),
    [
        ({}, "kind", "kind: Required value: such as Deployment"),
        ({"manifests": []}, "manifests", "manifests: Required value"),
        ({"manifests": "x"}, "manifests", "manifests: Required value"),
        ({"manifest": 5}, "manifest", "Invalid value: 5: must be a map"),
        ({"manifests": [SHOP, None]}, "manifests[1]", "Invalid value: None: must be a map"),
        ({"manifest": DEPLOYMENT, "manifests": [SHOP]}, "manifest", "unknown argument 'manifest'"),
        ({"manifest": DEPLOYMENT, "force": True}, "force", "unknown argument 'force'"),
        ({"manifest": DEPLOYMENT, "fieldManager": 1}, "fieldManager", "must be a string"),
        ({"manifest": DEPLOYMENT, "fieldManager": ""}, "fieldManager", "Required value"),
        (manifest(apiVersion=None), "manifests[1].apiVersion", "apiVersion: Required value"),
        (manifest(apiVersion="a/b/c"), "manifests[1].apiVersion", "must be VERSION or GROUP/VERSION"),
        (manifest(apiVersion=1), "manifests[1].apiVersion", "apiVersion: Invalid value: 1"),
        (manifest(kind=None), "manifests[1].kind", "kind: Required value"),
        (manifest(kind="No Kind"), "manifests[1].kind", "kind: Invalid value: 'No Kind'"),
        (manifest(metadata="x"), "manifests[1].metadata", "metadata: Invalid value: 'x': must be a map"),
        (manifest(metadata={}), "manifests[1].metadata.name", "metadata.name: Required value"),
        (manifest(metadata={"name": 7}), "manifests[1].metadata.name", "Invalid value: 7: must be a string"),
        (
            manifest(metadata={"name": "Bad_Name"}),
            "manifests[1].metadata.name",
            "Deployment.apps \"Bad_Name\" is invalid: metadata.name: Invalid value: 'Bad_Name': must be a lower-case "
            "RFC 1123 subdomain",
        ),
        (manifest(metadata={"name": "x" * 254}), "manifests[1].metadata.name", "must be no more than 253 characters"),
        (
            manifest(metadata={"name": "web", "namespace": "a.b"}),
            "manifests[1].metadata.namespace",
            "must be an RFC 1123 label",
        ),
        (
            manifest(metadata={"name": "web", "labels": {"a": 1}}),
            "manifests[1].metadata.labels",
            "Invalid value: 1: the value of a must be a string",
        ),
        (manifest(metadata={"name": "web", "labels": {"-": "x"}}), "manifests[1].metadata.labels", "a label key"),
        (manifest(metadata={"name": "web", "labels": {"a": "x y"}}), "manifests[1].metadata.labels", "'x y'"),
        (manifest(metadata={"name": "web", "labels": []}), "manifests[1].metadata.labels", "must be a map"),
        (
            manifest(metadata={"name": "web", "annotations": {"a": {}}}),
            "manifests[1].metadata.annotations",
            "must be a string",
        ),
    ],
)
def test_one_bad_manifest_and_nothing_is_applied(
    cluster: Cluster, args: dict[str, Any], field: str, message: str
) -> None:
    error = cluster.fails("apply", args)
    assert error["code"] == "bad-request"
    assert error["field"] == field
    assert message in error["message"]
    assert cluster.do("list", {})["items"] == []


@pytest.mark.parametrize(
    ("kind", "name", "good"),
    [
        ("ConfigMap", "a.b-c.9", True),
        ("Namespace", "a.b", False),
        ("Service", "9web", False),
        ("Service", "w" * 64, False),
        ("ClusterRole", "system:node-proxier", True),
        ("ClusterRole", "a/b", False),
        ("ConfigMap", "system:x", False),
        ("ConfigMap", "", False),
        ("ConfigMap", "a\n", False),
        ("ConfigMap", "ä", False),
    ],
)
def test_names_are_those_that_kubernetes_allows(cluster: Cluster, kind: str, name: str, good: bool) -> None:
    answer = cluster.answer("apply", {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}})
    assert answer.ok == good


@pytest.mark.parametrize(
    ("verb", "args", "field"),
    [
        ("delete", {"kind": "Service", "name": "web", "ignorenotfound": True}, "ignorenotfound"),
        ("delete", {"kind": "Service", "name": "web", "ignoreNotFound": "yes"}, "ignoreNotFound"),
        ("delete", {"kind": "Service"}, "name"),
        ("get", {"kind": "Service", "name": "web", "namespace": 3}, "namespace"),
        ("list", {"labels": "a=b"}, "labels"),
        ("list", {"limit": 0}, "limit"),
        ("list", {"limit": True}, "limit"),
        ("list", {"labelSelector": "a b c"}, "labelSelector"),
    ],
)
def test_bad_arguments(cluster: Cluster, verb: str, args: dict[str, Any], field: str) -> None:
    assert cluster.fails(verb, args)["field"] == field


def test_what_json_cannot_hold_is_refused(cluster: Cluster) -> None:
    for bad in (b"bytes", float("nan"), {1, 2}):
        assert cluster.fails("apply", SETTINGS | {"data": {"a": bad}})["code"] == "bad-request"
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"x": deep}
    assert cluster.fails("apply", SETTINGS | {"data": deep})["code"] == "bad-request"


def test_an_unknown_verb(cluster: Cluster) -> None:
    error = cluster.fails("explode", {})
    assert error["code"] == "unknown-verb"
    assert "apply, delete, get, list" in error["message"]


async def test_describe(cluster: Cluster) -> None:
    described = (await cluster.shim.describe()).dump()
    assert described["kind"] == "local"
    safe = {name for name, verb in described["verbs"].items() if verb["idempotent"]}
    assert {"apply", "delete", "get", "list", "scale", "rollout-status", "rollout-pause"} <= safe
    assert set(described["verbs"]) - safe == {"rollout-restart", "rollout-undo"}


def test_what_a_command_touches(cluster: Cluster) -> None:
    def touched(verb: str, args: Any) -> set[str] | None:
        found = objects_of(cluster.shim, verb, args)
        return None if found is None else set(found)

    both = {"Deployment/default/web", "Service/shop/web"}
    assert touched("apply", {"manifests": [DEPLOYMENT, SERVICE]}) == both
    assert touched("delete", {"kind": "Service", "name": "web", "namespace": "shop"}) == {"Service/shop/web"}
    assert touched("apply", {"manifest": {"apiVersion": "v1", "kind": "List", "items": [SHOP]}}) == {"Namespace//shop"}
    unknowns: list[Any] = [
        {},
        {"manifests": []},
        {"manifests": [DEPLOYMENT, 5]},
        {"manifest": {"metadata": 1, "kind": "x"}},
    ]
    for unknown in unknowns:
        assert touched("apply", unknown) is None
    assert touched("list", {}) is None
    assert touched("explode", {}) is None
    assert idempotent(cluster.shim, "apply") and not idempotent(cluster.shim, "explode")


async def test_watch_tells_what_is_there_and_ends(cluster: Cluster) -> None:
    cluster.do("apply", {"manifests": [SHOP, SERVICE]})
    told = [answer async for answer in cluster.shim.watch()]
    assert [(one.type, one.object["kind"]) for one in told] == [("applied", "Namespace"), ("applied", "Service")]

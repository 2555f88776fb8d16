"""Amounts of resources, and what a pod asks for."""

from __future__ import annotations

from typing import Any

import pytest

from bus.errors import BadRequest
from services.shims.local.cluster.demand import demand
from services.shims.local.cluster.nodes import parse_nodes
from services.shims.local.cluster.quantities import amount
from services.shims.local.faults import Fault


@pytest.mark.parametrize(
    ("resource", "text", "units"),
    [
        ("cpu", "100m", 100),
        ("cpu", "1.5", 1500),
        ("cpu", 2, 2000),
        ("cpu", 0.1, 100),
        ("cpu", ".5", 500),
        ("cpu", "100u", 1),
        ("cpu", "2k", 2_000_000),
        ("memory", "128Mi", 128 * 2**20),
        ("memory", "1G", 10**9),
        ("memory", "1.5Gi", 3 * 2**29),
        ("memory", "12e6", 12_000_000),
        ("memory", "1E3", 1000),
        ("memory", "2E", 2 * 10**18),
        ("memory", "2Ei", 2 * 2**60),
        ("memory", "1.5", 2),
        ("memory", "100m", 1),
        ("memory", "+5", 5),
        ("nvidia.com/gpu", "2", 2),
        ("nvidia.com/gpu", "1k", 1000),
    ],
)
def test_amounts(resource: str, text: Any, units: int) -> None:
    assert amount(resource, text) == units


@pytest.mark.parametrize(
    "text", ["", "abc", "1 Gi", "1gi", "1KI", "--1", "1e", "1e999999999", "0x1", "1i", True, None, []]
)
def test_what_is_no_amount(text: Any) -> None:
    with pytest.raises(ValueError, match="must be a quantity"):
        amount("cpu", text)


def test_what_nobody_can_have() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        amount("memory", "-1Gi")
    for resource in ("nvidia.com/gpu", "pods"):
        with pytest.raises(ValueError, match="must be an integer"):
            amount(resource, "500m")


def container(**requests: Any) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": requests}}


def test_containers_run_together_and_after_the_first() -> None:
    spec: dict[str, Any] = {"containers": [container(cpu="100m"), container(cpu=1, memory="1Mi")]}
    assert demand(spec) == {"cpu": 1100, "memory": 2**20}
    spec["initContainers"] = [container(cpu=2), container(memory="3Mi")]
    assert demand(spec) == {"cpu": 2000, "memory": 3 * 2**20}
    spec["initContainers"] = [container(cpu=1) | {"restartPolicy": "Always"}, container(cpu="1500m")]
    assert demand(spec) == {"cpu": 2500, "memory": 2**20}
    assert demand(spec | {"overhead": {"cpu": "250m"}})["cpu"] == 2750


def test_a_limit_alone_is_a_request() -> None:
    resources = {"limits": {"cpu": "2", "nvidia.com/gpu": 1}, "requests": {"cpu": "500m"}}
    assert demand({"containers": [{"name": "c", "resources": resources}]}) == {"cpu": 500, "nvidia.com/gpu": 1}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"containers": "x"}, "spec.containers"),
        ({"containers": [{"image": "x"}]}, "spec.containers[0].name"),
        ({"containers": [container(), "x"]}, "spec.containers[1].name"),
        ({"containers": [container(cpu="much")]}, "spec.containers[0].resources.requests[cpu]"),
        ({"initContainers": [{"name": "c", "resources": 5}]}, "spec.initContainers[0].resources"),
        ({"containers": [{"name": "c", "resources": {"limits": []}}]}, "spec.containers[0].resources.limits"),
    ],
)
def test_a_spec_that_can_not_be_understood(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(Fault) as caught:
        demand(spec)
    assert caught.value.field == field


def test_nodes_of_a_setting() -> None:
    small, big, _ = parse_nodes(["cpu=1,pods=10", "2*cpu=4, memory=8Gi, nvidia.com/gpu=1"])
    assert (small["cpu"], small["pods"], small["memory"]) == ("1", "10", "8Gi")
    assert big["nvidia.com/gpu"] == "1"
    assert parse_nodes([]) == []


@pytest.mark.parametrize("text", ["cpu", "cpu=x", "cpu=-1", "=1", "pods=0.5", "101*", "nvidia.com/gpu=1m", "3*3*cpu=1"])
def test_nodes_that_can_not_be(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_nodes([text])
    assert caught.value.field == "nodes"

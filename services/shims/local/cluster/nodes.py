"""The nodes of the simulated cluster: how many, and what they have."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bus.errors import BadRequest
from bus.paths import shown
from services.shims.local.cluster.pods import Object
from services.shims.local.cluster.quantities import amount
from services.shims.local.names import label_key_fault
from services.shims.local.view import View

NODES: Final = ("2*cpu=4,memory=8Gi",)
"""What a cluster has where nothing is said."""
_USUAL = {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "32Gi", "pods": "110"}
_MOST = 100
_PROVIDER = "local://"
_HINT = "such as cpu=4,memory=8Gi,nvidia.com/gpu=1, or 3*cpu=4 for three of them"

Capacity = Mapping[str, str]


def parse_nodes(texts: Sequence[str]) -> list[Capacity]:
    """The capacity of each node, of texts like `2*cpu=4,memory=8Gi`. BadRequest for one that is wrong."""
    nodes: list[Capacity] = []
    for text in texts:
        found = re.fullmatch(r"(?:(\d{1,3})\s*\*)?(.*)", text)
        assert found is not None, "the rest is any text"
        nodes += [_capacity(found[2])] * int(found[1] or 1)
    if len(nodes) > _MOST:
        raise BadRequest(f"{len(nodes)} nodes: at most {_MOST}", field="nodes")
    return nodes


def _capacity(text: str) -> Capacity:
    capacity = dict(_USUAL)
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        fault = label_key_fault(name)
        try:
            amount(name, value)
        except ValueError as error:
            fault = fault or f"Invalid value: {error}"
        if fault:
            raise BadRequest(f"{shown(part)}: {fault}", field="nodes", hint=_HINT)
        capacity[name] = value
    return capacity


def furnish(view: View, capacities: Sequence[Capacity]) -> None:
    """Makes the nodes of this tier what its settings say; those that people applied are left alone, and so is
    what they set on others."""
    ours = {
        node["metadata"]["name"]: node
        for node in view.all("Node")
        if str((node.get("spec") or {}).get("providerID", "")).startswith(_PROVIDER)
    }
    for number, capacity in enumerate(capacities, 1):
        name = f"node-{number}"
        before = ours.pop(name, None)
        node = _node(view, name, number, capacity, before)
        if node != before:
            view.settle(node, node)
    for node in ours.values():
        view.settle(node, None)


def _node(view: View, name: str, number: int, capacity: Capacity, before: Object | None) -> Object:
    fresh = {"name": name, "uid": view.new_uid() if before is None else "", "creationTimestamp": view.time}
    metadata: dict[str, Any] = dict(before["metadata"]) if before else fresh
    metadata["labels"] = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        **(metadata.get("labels") or {}),
    }
    status: Object = {
        "capacity": dict(capacity),
        "allocatable": dict(capacity),
        "addresses": [{"type": "InternalIP", "address": f"10.0.0.{number}"}, {"type": "Hostname", "address": name}],
        "conditions": (before or {}).get("status", {}).get("conditions") or [_ready(view.time)],
        "nodeInfo": {"operatingSystem": "linux", "osImage": "simulated", "kubeletVersion": "v0.0.0-local"},
    }
    spec = {**((before or {}).get("spec") or {}), "providerID": f"{_PROVIDER}{name}"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec, "status": status}


def _ready(time: str) -> dict[str, str]:
    message = "the node is simulated and ready"
    condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": message}
    return condition | {"lastHeartbeatTime": time, "lastTransitionTime": time}

"""Pods: how one is made of a template, bound to a node where it runs at once, or left pending."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from services.shims.local.cluster.demand import demand
from services.shims.local.cluster.scheduler import Node

Object = dict[str, Any]

_LONGEST_BASE = 58
"""So many characters of a generated name are given, five are made."""


def new_pod(owner: Mapping[str, Any], suffix: str, uid: str, time: str) -> Object:
    """A pod of this ReplicaSet that is not on a node yet."""
    metadata, template = owner["metadata"], owner["spec"]["template"]
    given = template.get("metadata") or {}
    base = f"{metadata['name']}-"[:_LONGEST_BASE]
    made: Object = {"name": f"{base}{suffix}", "generateName": base, "namespace": metadata["namespace"], "uid": uid}
    made |= {name: dict(given[name]) for name in ("labels", "annotations") if given.get(name)}
    made |= {"creationTimestamp": time, "ownerReferences": [owned_by(owner)]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": made,
        "spec": dict(template.get("spec") or {}),
        "status": {"phase": "Pending"},
    }


def owned_by(owner: Mapping[str, Any]) -> Object:
    """The reference to what controls an object."""
    metadata = owner["metadata"]
    identity = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": metadata["name"]}
    return identity | {"uid": metadata["uid"], "controller": True, "blockOwnerDeletion": True}


def controller_of(object: Mapping[str, Any]) -> str | None:
    """The uid of what controls it."""
    return next((one["uid"] for one in owners_of(object) if one.get("controller") is True), None)


def owners_of(object: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The references to its owners that can be understood."""
    found = object["metadata"].get("ownerReferences")
    return [one for one in found if isinstance(one, Mapping) and "uid" in one] if isinstance(found, list) else []


def is_running(pod: Mapping[str, Any]) -> bool:
    """Whether it is on its node, and so available: containers of a simulated node start at once."""
    return bool((pod.get("status") or {}).get("phase") == "Running")


def running(pod: Object, node: Node, ip: str, time: str) -> Object:
    """The pod on its node."""
    spec = {**pod["spec"], "nodeName": node.name}
    status: Object = {
        "phase": "Running",
        "conditions": [
            _condition(kind, "True", time) for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ],
        "hostIP": node.address,
        "hostIPs": [{"ip": node.address}],
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "startTime": time,
        "containerStatuses": [_started(container, time) for container in spec.get("containers") or []],
        "qosClass": _quality(spec),
    }
    return {**pod, "spec": spec, "status": status}


def pending(pod: Object, why: str, time: str) -> Object:
    """The pod that fits nowhere; itself if that was known."""
    before = (pod.get("status") or {}).get("conditions") or [{}]
    if before[0].get("message") == why:
        return pod
    condition = _condition("PodScheduled", "False", before[0].get("lastTransitionTime", time))
    condition |= {"reason": "Unschedulable", "message": why}
    return {**pod, "status": {"phase": "Pending", "conditions": [condition], "qosClass": _quality(pod["spec"])}}


def leaving_order(pods: Iterable[Object]) -> list[Object]:
    """Which goes first when there are too many: one that does not run, one that shares its node with more of
    its kind, the younger one."""
    crowd: dict[str, int] = {}
    ranked: list[tuple[bool, int, Object]] = []
    for pod in sorted(pods, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"])):
        node = pod["spec"].get("nodeName", "")
        crowd[node] = crowd.get(node, 0) + 1
        ranked.append((is_running(pod), -crowd[node], pod))
    ranked.reverse()
    return [pod for _, _, pod in sorted(ranked, key=lambda one: one[:2])]


def _condition(kind: str, status: str, time: str) -> Object:
    return {"type": kind, "status": status, "lastTransitionTime": time}


def _started(container: Mapping[str, Any], time: str) -> Object:
    seen = {"name": container["name"], "image": str(container.get("image") or "")}
    return seen | {"ready": True, "started": True, "restartCount": 0, "state": {"running": {"startedAt": time}}}


def _quality(spec: Mapping[str, Any]) -> str:
    every = [container.get("resources") or {} for container in spec.get("containers") or []]
    if not demand(spec) and not any(one.get("limits") for one in every):
        return "BestEffort"
    guaranteed = every and all(
        {"cpu", "memory"} <= set(one.get("limits") or {})
        and all((one.get("requests") or {}).get(name, limit) == limit for name, limit in one["limits"].items())
        for one in every
    )
    return "Guaranteed" if guaranteed else "Burstable"

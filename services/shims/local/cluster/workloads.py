"""What Deployments and ReplicaSets want, read from their manifests and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from bus.paths import shown
from services.shims.local.cluster.demand import demand, mapping
from services.shims.local.cluster.names import hash_name
from services.shims.local.cluster.quantities import amounts
from services.shims.local.faults import Fault
from services.shims.local.fields import canonical
from services.shims.local.names import labels_fault

HASH_LABEL = "pod-template-hash"
_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Plan:
    """A Deployment's wish: so many pods of `template`, and during a rollout at most `surge` more than that
    and at most `unavailable` fewer; with `recreate` all old ones go before the first new one comes."""

    replicas: int
    template: Mapping[str, Any]
    hash: str
    recreate: bool
    surge: int
    unavailable: int
    paused: bool
    history: int


def plan_of(deployment: Mapping[str, Any]) -> Plan | None:
    """What this Deployment wants; None for one without a template, of which no pod can be made. Fault if it
    can not be understood."""
    spec = mapping(deployment, "spec")
    template = template_of(spec)
    replicas = replicas_of(spec)
    strategy = mapping(spec, "strategy", "spec")
    kind = strategy.get("type") or "RollingUpdate"
    if kind not in ("RollingUpdate", "Recreate"):
        known = 'supported values: "Recreate", "RollingUpdate"'
        raise Fault("spec.strategy.type", f"Unsupported value: {shown(kind)}: {known}")
    rolling = mapping(strategy, "rollingUpdate", "spec.strategy")
    surge = _share(rolling, "maxSurge", replicas, up=True)
    unavailable = _share(rolling, "maxUnavailable", replicas, up=False)
    if template is None:
        return None
    return Plan(
        replicas=replicas,
        template=template,
        hash=hash_of(template),
        recreate=kind == "Recreate",
        surge=surge,
        unavailable=min(unavailable, replicas) if surge or unavailable else 1,
        paused=spec.get("paused") is True,
        history=_count(spec, "revisionHistoryLimit", 10),
    )


def template_of(spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The template of pods in a workload's spec, checked."""
    if spec.get("template") is None:
        return None
    template = mapping(spec, "template", "spec")
    metadata = mapping(template, "metadata", "spec.template")
    for field, free in (("labels", False), ("annotations", True)):
        if fault := labels_fault(mapping(metadata, field, "spec.template.metadata"), free_values=free):
            raise Fault(f"spec.template.metadata.{field}", fault)
    check_pod(mapping(template, "spec", "spec.template"), "spec.template.spec")
    return template


def check_pod(spec: Mapping[str, Any], field: str = "spec") -> None:
    """Fault if no pod of this spec can be placed."""
    demand(spec, field)
    mapping(spec, "nodeSelector", field)
    tolerations = spec.get("tolerations") or []
    if not isinstance(tolerations, list) or not all(isinstance(one, Mapping) for one in tolerations):
        raise Fault(f"{field}.tolerations", f"Invalid value: {shown(str(tolerations))}: must be a list of tolerations")


def check_node(node: Mapping[str, Any]) -> None:
    """Fault if nothing can be placed on this node."""
    status = mapping(node, "status")
    amounts(status.get("capacity"), "status.capacity")
    amounts(status.get("allocatable"), "status.allocatable")
    taints = mapping(node, "spec").get("taints") or []
    if not isinstance(taints, list) or not all(isinstance(one, Mapping) for one in taints):
        raise Fault("spec.taints", f"Invalid value: {shown(str(taints))}: must be a list of taints")


def check(object: Mapping[str, Any]) -> None:
    """Fault if the cluster can make nothing of an object of a kind that it controls."""
    kind = object["kind"]
    if kind == "Deployment":
        plan_of(object)
    elif kind == "ReplicaSet":
        replicas_of(mapping(object, "spec"))
        template_of(mapping(object, "spec"))
    elif kind == "Pod":
        check_pod(mapping(object, "spec"))
    elif kind == "Node":
        check_node(object)


def replicas_of(spec: Mapping[str, Any]) -> int:
    """How many pods are wanted: one, where nothing is said."""
    return _count(spec, "replicas", 1)


def hash_of(template: Mapping[str, Any]) -> str:
    """The name of a template; equal for equal templates."""
    return hash_name(canonical(template))


def _count(spec: Mapping[str, Any], name: str, default: int) -> int:
    value = spec.get(name)
    if value is None:
        return default
    if type(value) is not int:
        raise Fault(f"spec.{name}", f"Invalid value: {shown(value)}: must be a whole number")
    if not 0 <= value <= _MOST:
        raise Fault(f"spec.{name}", f"Invalid value: {value}: must be greater than or equal to 0")
    return value


def _share(rolling: Mapping[str, Any], name: str, replicas: int, *, up: bool) -> int:
    """So many pods, or so many percent of the replicas."""
    value = rolling.get(name, "25%")
    if type(value) is int and 0 <= value <= _MOST:
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}%", value):
        share = int(value[:-1]) * replicas
        return ceil(share / 100) if up else share // 100
    raise Fault(f"spec.strategy.rollingUpdate.{name}", f"Invalid value: {shown(value)}: must be a number or percentage")

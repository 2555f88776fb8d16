"""Which node a pod goes to, or why it fits on none, in the words of Kubernetes' scheduler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.shims.local.cluster.demand import mapping
from services.shims.local.cluster.quantities import Amounts, amounts

_REPELS = ("NoSchedule", "NoExecute")
NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


@dataclass(slots=True)
class Node:
    """A node with what it has and what its pods take."""

    name: str
    address: str
    labels: Mapping[str, Any]
    taints: Sequence[Mapping[str, Any]]
    unschedulable: bool
    allocatable: Amounts
    used: Amounts = field(default_factory=dict)

    @staticmethod
    def of(object: Mapping[str, Any]) -> Node:
        """What a checked Node object says."""
        metadata, spec, status = object["metadata"], mapping(object, "spec"), mapping(object, "status")
        ready = {one.get("type"): one.get("status") for one in _maps(status.get("conditions"))}.get("Ready", "True")
        taints = list(_maps(spec.get("taints")))
        return Node(
            name=metadata["name"],
            address=next((str(one.get("address")) for one in _maps(status.get("addresses"))), ""),
            labels=metadata.get("labels") or {},
            taints=taints if ready == "True" else [*taints, NOT_READY],
            unschedulable=spec.get("unschedulable") is True,
            allocatable=amounts(status.get("allocatable", status.get("capacity")), "status.allocatable"),
        )

    def take(self, wanted: Mapping[str, int], times: int = 1) -> None:
        """A pod comes, or goes with `times` -1."""
        for name, many in {**wanted, "pods": 1}.items():
            self.used[name] = self.used.get(name, 0) + many * times

    def load_with(self, wanted: Mapping[str, int]) -> float:
        """Which share of cpu and memory would be taken with this pod too."""
        shares = [
            (self.used.get(name, 0) + wanted.get(name, 0)) / self.allocatable[name]
            for name in ("cpu", "memory")
            if self.allocatable.get(name)
        ]
        return sum(shares) / len(shares) if shares else 1.0


def choose(nodes: Iterable[Node], pod: Mapping[str, Any], wanted: Mapping[str, int]) -> Node | str:
    """The node that is least loaded with this pod, the first by name among equals; or why there is none."""
    reasons: Counter[str] = Counter()
    fitting: list[Node] = []
    total = 0
    for node in nodes:
        total += 1
        against = list(_against(node, pod, wanted))
        reasons.update(against)
        if not against:
            fitting.append(node)
    if fitting:
        return min(fitting, key=lambda node: (round(node.load_with(wanted), 9), node.used.get("pods", 0), node.name))
    if not total:
        return "no nodes available to schedule pods"
    told = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    return f"0/{total} nodes are available: {told}."


def _against(node: Node, pod: Mapping[str, Any], wanted: Mapping[str, int]) -> Iterator[str]:
    """What speaks against the node; of the amounts all that lack, of the rest the first."""
    spec = pod["spec"]
    tolerated = list(_maps(spec.get("tolerations")))
    cordoned = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    if node.unschedulable and not _tolerates(tolerated, cordoned):
        yield "node(s) were unschedulable"
        return
    for taint in node.taints:
        if taint.get("effect") in _REPELS and not _tolerates(tolerated, taint):
            yield f"node(s) had untolerated taint {{{taint.get('key')}: {taint.get('value') or ''}}}"
            return
    if any(node.labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        yield "node(s) didn't match Pod's node affinity/selector"
        return
    if node.used.get("pods", 0) + 1 > node.allocatable.get("pods", 0):
        yield "Too many pods"
    for name, many in wanted.items():
        if many and many > node.allocatable.get(name, 0) - node.used.get(name, 0):
            yield f"Insufficient {name}"


def _tolerates(tolerations: Iterable[Mapping[str, Any]], taint: Mapping[str, Any]) -> bool:
    for one in tolerations:
        exists = one.get("operator") == "Exists"
        key = one.get("key") == taint.get("key") or (exists and not one.get("key"))
        value = exists or (one.get("value") or "") == (taint.get("value") or "")
        if key and value and one.get("effect") in (None, "", taint.get("effect")):
            return True
    return False


def _maps(value: Any) -> Iterator[Mapping[str, Any]]:
    yield from (one for one in value if isinstance(one, Mapping)) if isinstance(value, list) else ()

"""ReplicaSets: as many pods as are wanted."""

from __future__ import annotations

from typing import Any

from services.shims.local.cluster.conditions import with_condition
from services.shims.local.cluster.names import suffix_of
from services.shims.local.cluster.pods import Object, is_running, leaving_order, new_pod
from services.shims.local.cluster.workloads import replicas_of, template_of
from services.shims.local.cluster.world import World
from services.shims.local.view import of

POD_LIMIT = 1000
"""So many pods this cluster holds; more are refused, as by a quota."""


def staff(world: World, owner: Object) -> bool:
    """Makes the pods that are missing, and removes those that are too many; whether there were any."""
    if template_of(owner["spec"]) is None:
        return False
    pods = world.pods_of(owner["metadata"]["uid"])
    lack = replicas_of(owner["spec"]) - len(pods)
    made = 0
    while made < lack and world.count("Pod") < POD_LIMIT:
        world.put(_new(world, owner))
        made += 1
    leaving = leaving_order(pods)[:-lack] if lack < 0 else []
    for pod in leaving:
        world.remove(pod)
    return bool(made or leaving)


def _new(world: World, owner: Object) -> Object:
    while True:
        uid = world.view.new_uid()
        pod = new_pod(owner, suffix_of(uid), uid, world.time)
        if world.find(of(pod)) is None:
            return pod


def count_pods(world: World, owner: Object) -> None:
    """Writes its status."""
    pods = world.pods_of(owner["metadata"]["uid"])
    available = sum(map(is_running, pods))
    before: dict[str, Any] = owner.get("status") or {}
    status: dict[str, Any] = {"replicas": len(pods)}
    if pods:
        status["fullyLabeledReplicas"] = len(pods)
    if available:
        status |= {"readyReplicas": available, "availableReplicas": available}
    status["observedGeneration"] = owner["metadata"].get("generation", 1)
    if template_of(owner["spec"]) is not None and len(pods) < replicas_of(owner["spec"]):
        message = f'pods "{owner["metadata"]["name"]}-" is forbidden: exceeded quota: local, limited: pods={POD_LIMIT}'
        failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
        status["conditions"] = with_condition(before.get("conditions"), failure, world.time)
        if status["conditions"] != before.get("conditions"):
            world.events.unmade(owner, message)
    if status != before:
        world.put({**owner, "status": status})

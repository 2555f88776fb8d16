"""Deployments: one ReplicaSet for each template they had, and the way from one to the next."""

from __future__ import annotations

from typing import Any

from services.shims.local.cluster.conditions import with_condition
from services.shims.local.cluster.pods import Object, controller_of, is_running, owned_by
from services.shims.local.cluster.rollout import Crew, next_wanted
from services.shims.local.cluster.workloads import HASH_LABEL, Plan, plan_of, replicas_of
from services.shims.local.cluster.world import World

REVISION = "deployment.kubernetes.io/revision"
_LONGEST_NAME = 253


def roll(world: World, deployment: Object) -> bool:
    """Takes the next step towards what it wants; whether there was one."""
    plan = plan_of(deployment)
    if plan is None:
        return False
    new, old = replica_sets(world, deployment, plan)
    if new is None and plan.paused:
        active = [one for one in old if replicas_of(one["spec"])]
        if len(active) != 1:
            return False
        [new] = active
        old = [one for one in old if one is not new]
    elif new is None:
        world.put(_new(world, deployment, plan, old))
        return True
    wanted, held = next_wanted(plan, _crew(world, new), [_crew(world, one) for one in old])
    moved = _scale(world, deployment, new, wanted)
    for one, many in zip(old, held, strict=True):
        moved |= _scale(world, deployment, one, many)
    return moved


def replica_sets(world: World, deployment: Object, plan: Plan) -> tuple[Object | None, list[Object]]:
    """That of its template, if it is there, and those of earlier ones, the oldest first."""
    uid = deployment["metadata"]["uid"]
    mine = sorted((one for one in world.all("ReplicaSet") if controller_of(one) == uid), key=revision_of)
    new = next((one for one in mine if one["metadata"].get("labels", {}).get(HASH_LABEL) == plan.hash), None)
    return new, [one for one in mine if one is not new]


def revision_of(one: Object) -> int:
    """Which of its Deployment's revisions it is, counted from 1."""
    text = str((one["metadata"].get("annotations") or {}).get(REVISION, "0"))
    return int(text) if text.isdecimal() else 0


def _crew(world: World, one: Object) -> Crew:
    pods = world.pods_of(one["metadata"]["uid"])
    return Crew(replicas_of(one["spec"]), len(pods), sum(map(is_running, pods)))


def _new(world: World, deployment: Object, plan: Plan, old: list[Object]) -> Object:
    metadata, given = deployment["metadata"], plan.template.get("metadata") or {}
    labels = {**(given.get("labels") or {}), HASH_LABEL: plan.hash}
    name = f"{metadata['name'][: _LONGEST_NAME - len(plan.hash) - 1]}-{plan.hash}"
    made = {"name": name, "namespace": metadata["namespace"], "uid": world.view.new_uid(), "generation": 1}
    made |= {"labels": labels, "annotations": {REVISION: str(_next_revision(old))}}
    made |= {"creationTimestamp": world.time, "ownerReferences": [owned_by(deployment)]}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": made,
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {**plan.template, "metadata": {**given, "labels": labels}},
        },
        "status": {"replicas": 0},
    }


def _next_revision(old: list[Object]) -> int:
    return max(map(revision_of, old), default=0) + 1


def _scale(world: World, deployment: Object, one: Object, wanted: int) -> bool:
    before = replicas_of(one["spec"])
    if before == wanted:
        return False
    metadata = {**one["metadata"], "generation": one["metadata"].get("generation", 0) + 1}
    world.put({**one, "metadata": metadata, "spec": {**one["spec"], "replicas": wanted}})
    world.events.scaled(deployment, one, before, wanted)
    return True


def prune(world: World, deployment: Object) -> None:
    """Numbers the revision, and removes the oldest ReplicaSets without pods where more are kept than wanted."""
    plan = plan_of(deployment)
    if plan is None:
        return
    new, old = replica_sets(world, deployment, plan)
    if new is not None and revision_of(new) < _next_revision(old):
        annotations = {**(new["metadata"].get("annotations") or {}), REVISION: str(_next_revision(old))}
        world.put({**new, "metadata": {**new["metadata"], "annotations": annotations}})
    idle = [one for one in old if not replicas_of(one["spec"]) and not world.pods_of(one["metadata"]["uid"])]
    for one in idle[: max(len(idle) - plan.history, 0)]:
        world.remove(one)


def tell(world: World, deployment: Object) -> None:
    """Writes its status, and its revision."""
    plan = plan_of(deployment)
    if plan is None:
        _tell_seen(world, deployment)
        return
    new, old = replica_sets(world, deployment, plan)
    crews = [_crew(world, one) for one in old]
    crew = _crew(world, new) if new else Crew(0, 0, 0)
    there = crew.there + sum(one.there for one in crews)
    available = crew.available + sum(one.available for one in crews)
    before: Object = deployment.get("status") or {}
    counts = {
        "replicas": there,
        "updatedReplicas": crew.there,
        "readyReplicas": available,
        "availableReplicas": available,
        "unavailableReplicas": max(plan.replicas - available, there - available),
    }
    status: Object = {"observedGeneration": deployment["metadata"].get("generation", 1)}
    status |= {name: many for name, many in counts.items() if many}
    conditions = before.get("conditions")
    for condition in _conditions(plan, new, crew, there, available):
        conditions = with_condition(conditions, condition, world.time, updated=True)
    failure = next((one for one in ((new or {}).get("status") or {}).get("conditions") or []), None)
    conditions = [one for one in conditions or [] if one["type"] != "ReplicaFailure"] + ([failure] if failure else [])
    status["conditions"] = conditions
    metadata: dict[str, Any] = deployment["metadata"]
    annotations = metadata.get("annotations") or {}
    if new is not None and annotations.get(REVISION) != str(revision_of(new)):
        metadata = {**metadata, "annotations": {**annotations, REVISION: str(revision_of(new))}}
    if status != before or metadata is not deployment["metadata"]:
        world.put({**deployment, "metadata": metadata, "status": status})


def _tell_seen(world: World, deployment: Object) -> None:
    """Of one whose template was taken away its pods stay as they are; that it was seen is told."""
    before = deployment.get("status")
    seen = {**(before or {}), "observedGeneration": deployment["metadata"].get("generation", 1)}
    if before and seen != before:
        world.put({**deployment, "status": seen})


def _conditions(plan: Plan, new: Object | None, crew: Crew, there: int, available: int) -> list[dict[str, str]]:
    if available >= plan.replicas - plan.unavailable:
        first = ("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        first = ("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    name = new["metadata"]["name"] if new else ""
    if plan.paused:
        second = ("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
    elif crew.there == there == crew.available == plan.replicas:
        text = f'ReplicaSet "{name}" has successfully progressed.'
        second = ("Progressing", "True", "NewReplicaSetAvailable", text)
    else:
        second = ("Progressing", "True", "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
    return [dict(zip(("type", "status", "reason", "message"), one, strict=True)) for one in (first, second)]

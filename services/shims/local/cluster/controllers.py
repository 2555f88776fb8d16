"""What a cluster does by itself after a change: pods are made, placed, replaced and cleared away.

It all happens within the request that brought the change, and the same log leads to the same end: there
is no later, in which a crash could find it half done. A simulated container starts at once, so that only
how a rollout ends is kept, which for pods that fit nowhere is where it waits.
"""

from __future__ import annotations

from typing import Any

from services.shims.local.cluster.deployments import prune, roll, tell
from services.shims.local.cluster.pods import Object, is_running, owners_of, pending, running
from services.shims.local.cluster.replicasets import count_pods, staff
from services.shims.local.cluster.scheduler import choose
from services.shims.local.cluster.world import KINDS, World
from services.shims.local.manifests import Reference
from services.shims.local.view import View


def settle(view: View) -> None:
    """Brings the cluster to rest: the changes are in the view."""
    world = World(view)
    _collect(world)
    moved = True
    while moved:
        moved = False
        for deployment in world.all("Deployment"):
            moved |= roll(world, deployment)
        for replica_set in world.all("ReplicaSet"):
            moved |= staff(world, replica_set)
        moved |= _schedule(world)
    for replica_set in world.all("ReplicaSet"):
        count_pods(world, replica_set)
    for deployment in world.all("Deployment"):
        prune(world, deployment)
        tell(world, deployment)
    world.settle()


def _collect(world: World) -> None:
    """Removes what was owned by what is gone, and pods whose node is."""
    for kind in ("ReplicaSet", "Pod"):
        for one in world.all(kind):
            owners = owners_of(one)
            if owners and not any(_is_there(world, one, owner) for owner in owners):
                world.remove(one)
    for pod in world.all("Pod"):
        if is_running(pod) and pod["spec"].get("nodeName") not in world.nodes:
            world.remove(pod)


def _is_there(world: World, owned: Object, owner: Any) -> bool:
    version, kind, name = (str(owner.get(part, "")) for part in ("apiVersion", "kind", "name"))
    for namespace in (owned["metadata"]["namespace"], ""):
        reference = Reference(version, kind, namespace, name)
        found = world.find(reference) if KINDS.get(kind) == version else world.view.find(reference)
        if found is not None and found["metadata"]["uid"] == owner["uid"]:
            return True
    return False


def _schedule(world: World) -> bool:
    """Places the pods that wait, the oldest first; whether any was placed. What does not fit now does not fit
    for another of the same kind."""
    moved = False
    tried: dict[str, str] = {}
    waiting = [pod for pod in world.all("Pod") if (pod.get("status") or {}).get("phase", "Pending") == "Pending"]
    for pod in sorted(waiting, key=lambda pod: pod["metadata"]["creationTimestamp"]):
        shape = repr([pod["spec"].get(part) for part in ("nodeName", "nodeSelector", "tolerations")])
        shape += repr(world.demand_of(pod))
        if (why := tried.get(shape)) is None:
            bound = pod["spec"].get("nodeName")
            nodes = [node for node in world.nodes.values() if bound in (None, node.name)]
            found = choose(nodes, pod, world.demand_of(pod))
            if not isinstance(found, str):
                world.put(running(pod, found, world.free_address(), world.time))
                world.events.placed(pod, found.name, bound=bound is not None)
                moved = True
                continue
            why = tried[shape] = found
        if (left := pending(pod, why, world.time)) is not pod:
            world.put(left)
            world.events.unplaced(pod, why)
    return moved

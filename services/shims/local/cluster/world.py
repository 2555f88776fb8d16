"""The objects that the cluster itself looks after, as one request sees and changes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.shims.local.cluster.demand import demand
from services.shims.local.cluster.events import Recorder
from services.shims.local.cluster.pods import Object, controller_of, is_running
from services.shims.local.cluster.quantities import Amounts
from services.shims.local.cluster.scheduler import Node
from services.shims.local.cluster.workloads import check
from services.shims.local.faults import Fault
from services.shims.local.manifests import Reference
from services.shims.local.view import View, of

KINDS: Mapping[str, str] = {"Deployment": "apps/v1", "ReplicaSet": "apps/v1", "Pod": "v1", "Node": "v1"}
"""The kinds that the cluster looks after, and their versions; all others only lie there."""


class World:
    """A working copy: what is put and removed reaches the view with `settle`, in its last form only. Objects
    are never changed in place. What can not be understood (it was applied to an earlier version) is left alone."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.time = view.time
        self.events = Recorder(view)
        self._was: dict[Reference, Object] = {}
        self._now: dict[str, dict[Reference, Object]] = {}
        for kind, api_version in KINDS.items():
            found = [one for one in view.all(kind) if one["apiVersion"] == api_version and _is_sound(one)]
            self._now[kind] = {of(one): one for one in found}
            self._was |= self._now[kind]
        self.nodes = {key.name: Node.of(one) for key, one in self._now["Node"].items()}
        self._demands: dict[Reference, Amounts] = {}
        self._crews: dict[str, dict[Reference, Object]] = {}
        self._addresses: set[str] = set()
        self._next_address = 1
        for pod in self.all("Pod"):
            self._file(of(pod), pod, 1)

    def all(self, kind: str) -> list[Object]:
        """The objects of this kind, in order of namespace and name."""
        return [one for _, one in sorted(self._now[kind].items())]

    def pods_of(self, uid: str) -> list[Object]:
        """The pods that this owner controls."""
        return list(self._crews.get(uid, {}).values())

    def count(self, kind: str) -> int:
        """How many objects of this kind there are."""
        return len(self._now[kind])

    def find(self, reference: Reference) -> Object | None:
        """The object of one of the kinds, if it is there."""
        return self._now[reference.kind].get(reference)

    def put(self, object: Object) -> None:
        """The object is now this."""
        self.remove(object)
        reference = of(object)
        self._now[reference.kind][reference] = object
        if reference.kind == "Pod":
            self._file(reference, object, 1)

    def remove(self, object: Object) -> None:
        """The object is gone, if it was there."""
        reference = of(object)
        before = self._now[reference.kind].pop(reference, None)
        if before is not None and reference.kind == "Pod":
            self._file(reference, before, -1)

    def demand_of(self, pod: Object) -> Amounts:
        """What it takes of its node."""
        reference = of(pod)
        if reference not in self._demands:
            self._demands[reference] = demand(pod["spec"])
        return self._demands[reference]

    def free_address(self) -> str:
        """An address for a pod that no other has."""
        while (found := f"10.244.{self._next_address >> 8}.{self._next_address & 255}") in self._addresses:
            self._next_address += 1
        return found

    def settle(self) -> None:
        """Gives the view what has changed: first what is gone, then what is there, then what is said of it."""
        now = {reference: one for kind in KINDS for reference, one in sorted(self._now[kind].items())}
        for reference, object in self._was.items():
            if reference not in now:
                self.view.settle(object, None)
        for reference, object in now.items():
            was = self._was.get(reference)
            if object is not was and object != was:
                self.view.settle(object, object)
        self.events.settle()

    def _file(self, reference: Reference, pod: Object, times: int) -> None:
        owner = controller_of(pod)
        crew = self._crews.setdefault(owner, {}) if owner is not None else {}
        if times > 0:
            crew[reference] = pod
        else:
            crew.pop(reference, None)
        if not is_running(pod):
            return
        node = self.nodes.get(pod["spec"].get("nodeName", ""))
        if node is not None:
            node.take(self.demand_of(pod), times)
        address = pod["status"].get("podIP", "")
        if times > 0:
            self._addresses.add(address)
        else:
            self._addresses.discard(address)


def _is_sound(object: Mapping[str, Any]) -> bool:
    try:
        check(object)
    except Fault:
        return False
    return True

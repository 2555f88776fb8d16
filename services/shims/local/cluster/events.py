"""What the cluster says of what it did: Events, as Kubernetes' scheduler, kubelet and controllers word them.

Whoever would say the same of the same object again counts up what is there. They are few: the newest LIMIT of
the last hour, of which those that warn stay longest.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

from services.shims.local.cluster.pods import Object
from services.shims.local.manifests import Reference
from services.shims.local.view import View, of

LIMIT: Final = 200
KEPT: Final = timedelta(hours=1)
_OURS: Final = "local"
_LONGEST_BASE: Final = 236
"""So many characters of the name are the object's, after a dot sixteen are made."""


class Recorder:
    """The Events as one request sees and changes them; what people applied themselves is left alone."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._was = {of(one): one for one in view.all("Event") if _is_ours(one)}
        self._now = dict(self._was)

    def placed(self, pod: Object, node: str, *, bound: bool) -> None:
        """The pod runs on this node, which the scheduler chose unless it was `bound` to it."""
        place = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        if not bound:
            self._say(pod, "Scheduled", f"Successfully assigned {place} to {node}", "default-scheduler")
        for field in ("initContainers", "containers"):
            for container in pod["spec"].get(field) or []:
                name, path = container["name"], f"spec.{field}{{{container['name']}}}"
                there = f'Container image "{container.get("image") or ""}" already present on machine'
                steps = (("Pulled", there), ("Created", f"Created container: {name}"))
                for reason, message in (*steps, ("Started", f"Started container {name}")):
                    self._say(pod, reason, message, "kubelet", path=path, host=node)

    def unplaced(self, pod: Object, why: str) -> None:
        """The pod fits nowhere."""
        self._say(pod, "FailedScheduling", why, "default-scheduler", warning=True)

    def scaled(self, deployment: Object, replica_set: Object, before: int, now: int) -> None:
        """The deployment wants another number of pods of this template."""
        way = f"{'up' if now > before else 'down'} replica set {replica_set['metadata']['name']}"
        self._say(deployment, "ScalingReplicaSet", f"Scaled {way} from {before} to {now}", "deployment-controller")

    def unmade(self, owner: Object, why: str) -> None:
        """The owner may have no more pods."""
        self._say(owner, "FailedCreate", f"Error creating: {why}", "replicaset-controller", warning=True)

    def settle(self) -> None:
        """Gives the view what has changed."""
        kept = dict(sorted(self._now.items(), key=lambda item: _rank(item[1]), reverse=True)[:LIMIT])
        oldest = _text(datetime.fromisoformat(self._view.time) - KEPT)
        kept = {reference: one for reference, one in kept.items() if one["lastTimestamp"] >= oldest}
        for reference, one in sorted(self._was.items()):
            if reference not in kept:
                self._view.settle(one, None)
        for reference, one in sorted(kept.items()):
            if one is not self._was.get(reference):
                self._view.settle(one, one)

    def _say(
        self,
        about: Object,
        reason: str,
        message: str,
        component: str,
        *,
        path: str = "",
        host: str = "",
        warning: bool = False,
    ) -> None:
        metadata, time = about["metadata"], self._view.time
        same = blake2b("\0".join((metadata["uid"], path, reason, message)).encode(), digest_size=8).hexdigest()
        name = f"{metadata['name'][:_LONGEST_BASE]}.{same}"
        reference = Reference("v1", "Event", metadata["namespace"], name)
        if (before := self._now.get(reference)) is not None:
            self._now[reference] = {**before, "count": before["count"] + 1, "lastTimestamp": time}
            return
        made = {"name": name, "namespace": reference.namespace, "uid": self._view.new_uid(), "creationTimestamp": time}
        involved = {"apiVersion": about["apiVersion"], "kind": about["kind"], "namespace": reference.namespace}
        involved |= {"name": metadata["name"], "uid": metadata["uid"]} | ({"fieldPath": path} if path else {})
        self._now[reference] = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": made,
            "involvedObject": involved,
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": time,
            "lastTimestamp": time,
            "source": {"component": component} | ({"host": host} if host else {}),
            "reportingComponent": component,
            "reportingInstance": _OURS,
        }


def _is_ours(event: Mapping[str, Any]) -> bool:
    known = type(event.get("count")) is int and isinstance(event.get("lastTimestamp"), str)
    return known and event["apiVersion"] == "v1" and event.get("reportingInstance") == _OURS


def _rank(event: Object) -> tuple[bool, str]:
    return event.get("type") == "Warning", event["lastTimestamp"]


def _text(time: datetime) -> str:
    return time.isoformat(timespec="seconds").removesuffix("+00:00") + "Z"

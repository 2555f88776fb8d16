"""The verbs about workloads: `scale`, and what `kubectl rollout` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bus.errors import BadRequest, NotFound, Refused
from bus.paths import shown
from services.shims.keys import objects_in
from services.shims.local.cluster.deployments import revision_of
from services.shims.local.cluster.pods import controller_of
from services.shims.local.cluster.workloads import HASH_LABEL, plan_of
from services.shims.local.manifests import Reference, missing, only, references
from services.shims.local.objects import Stamp, edited
from services.shims.local.scopes import cluster_scoped
from services.shims.local.view import View, of

Result = dict[str, Any]
_NAMES = ("apiVersion", "kind", "name", "namespace")
_RESTARTED = "kubectl.kubernetes.io/restartedAt"
_MOST = 2**31 - 1


def workload_in(args: Mapping[str, Any]) -> frozenset[str] | None:
    """The object that these verbs touch: a Deployment, where no kind is said."""
    return objects_in({"kind": "Deployment", **args})


def scale(view: View, args: Mapping[str, Any]) -> Result:
    """Sets `spec.replicas`: `{"objects": [{"kind", "name", "namespace", "result": "configured" | "unchanged"}]}`."""
    only(args, *_NAMES, "replicas")
    replicas = _whole(args, "replicas")
    if replicas is None:
        raise BadRequest("replicas: Required value: how many there should be", field="replicas")
    live = _find(view, args)
    spec = live.get("spec")
    if not isinstance(spec, dict) or not ("replicas" in spec or live["kind"] in ("Deployment", "ReplicaSet")):
        raise BadRequest(f"{of(live)} has no replicas to scale", field="kind")
    return _changed(view, live, {**spec, "replicas": replicas})


def restart(view: View, args: Mapping[str, Any]) -> Result:
    """Replaces all pods, by a template that says when; the answer is that of `scale`."""
    live = _deployment(view, args)
    template = live["spec"]["template"]
    metadata = template.get("metadata") or {}
    annotations = {**(metadata.get("annotations") or {}), _RESTARTED: view.time}
    template = {**template, "metadata": {**metadata, "annotations": annotations}}
    return _changed(view, live, {**live["spec"], "template": template})


def undo(view: View, args: Mapping[str, Any]) -> Result:
    """Goes back to the template of an earlier revision, the one before if none is said; the answer is that of
    `scale`."""
    revision = _whole(args, "toRevision")
    live = _deployment(view, args, "toRevision")
    history = _history(view, live)
    if revision:
        found = next((one for one in history if revision_of(one) == revision), None)
        if found is None:
            raise NotFound(f"unable to find specified revision {revision} in history", field="toRevision")
    elif len(history) > 1:
        found = history[-2]
    else:
        raise Refused(f"no rollout history found for deployment {shown(live['metadata']['name'])}")
    template = found["spec"]["template"]
    labels = {key: value for key, value in template["metadata"].get("labels", {}).items() if key != HASH_LABEL}
    metadata = {key: value for key, value in template["metadata"].items() if key != "labels"}
    metadata |= {"labels": labels} if labels else {}
    template = {key: value for key, value in template.items() if key != "metadata"}
    template |= {"metadata": metadata} if metadata else {}
    return _changed(view, live, {**live["spec"], "template": template})


def pause(view: View, args: Mapping[str, Any]) -> Result:
    """Changes of the template wait; the answer is that of `scale`."""
    live = _deployment(view, args)
    return _changed(view, live, {**live["spec"], "paused": True})


def resume(view: View, args: Mapping[str, Any]) -> Result:
    """Changes of the template take effect again; the answer is that of `scale`."""
    live = _deployment(view, args)
    return _changed(view, live, {key: value for key, value in live["spec"].items() if key != "paused"})


def status(view: View, args: Mapping[str, Any]) -> Result:
    """`{"done": whether all pods are of the newest template and available, "message": as kubectl says it}`."""
    live = _deployment(view, args)
    name = live["metadata"]["name"]
    now = live.get("status") or {}
    plan = plan_of(live)
    assert plan is not None, "it has a template"
    updated, there, available = (now.get(one, 0) for one in ("updatedReplicas", "replicas", "availableReplicas"))
    if updated < plan.replicas:
        left = f"{updated} out of {plan.replicas} new replicas have been updated..."
    elif there > updated:
        left = f"{there - updated} old replicas are pending termination..."
    elif available < updated:
        left = f"{available} of {updated} updated replicas are available..."
    else:
        return {"done": True, "message": f'deployment "{name}" successfully rolled out'}
    return {"done": False, "message": f'Waiting for deployment "{name}" rollout to finish: {left}'}


def history(view: View, args: Mapping[str, Any]) -> Result:
    """`{"revisions": [{"revision", "replicaSet", "replicas", "images"}]}`, the oldest first."""
    return {
        "revisions": [
            {
                "revision": revision_of(one),
                "replicaSet": one["metadata"]["name"],
                "replicas": one["spec"]["replicas"],
                "images": [
                    each.get("image", "") for each in (one["spec"]["template"].get("spec") or {}).get("containers", [])
                ],
            }
            for one in _history(view, _deployment(view, args))
        ]
    }


def _history(view: View, deployment: Mapping[str, Any]) -> list[dict[str, Any]]:
    uid = deployment["metadata"]["uid"]
    return sorted((one for one in view.all("ReplicaSet") if controller_of(one) == uid), key=revision_of)


def _find(view: View, args: Mapping[str, Any]) -> dict[str, Any]:
    named = {"kind": "Deployment"} | {name: args[name] for name in _NAMES if name in args}
    [(at, reference)] = references(named, cluster_scoped(named, view.objects))
    found = view.find(reference, at)
    if found is None:
        raise missing(reference, at)
    return found


def _deployment(view: View, args: Mapping[str, Any], *options: str) -> dict[str, Any]:
    only(args, *_NAMES, *options)
    found = _find(view, args)
    if (found["kind"], found["apiVersion"]) != ("Deployment", "apps/v1"):
        raise BadRequest(f"{of(found)} has no rollout: only a Deployment has", field="kind")
    if plan_of(found) is None:
        raise BadRequest(f"{of(found)} has no template", field="name")
    return found


def _changed(view: View, live: dict[str, Any], spec: dict[str, Any]) -> Result:
    reference: Reference = of(live)
    after = edited(live, spec, Stamp("", view.next_version(), view.time))
    if after is not live:
        view.put(after)
    result = "unchanged" if after is live else "configured"
    told = {"kind": reference.kind, "name": reference.name, "namespace": reference.namespace, "result": result}
    return {"objects": [told]}


def _whole(args: Mapping[str, Any], name: str) -> int | None:
    """A number that may be written as text, as in `replicas=3`."""
    value = args.get(name)
    if isinstance(value, str) and value.isdecimal() and len(value) < 12:
        value = int(value)
    if value is None or (type(value) is int and 0 <= value <= _MOST):
        return value
    raise BadRequest(f"{name}: Invalid value: {shown(value)}: must be a whole number, 0 or more", field=name)

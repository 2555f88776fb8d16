"""What the verbs of the local shim do: functions of a view of the objects and the command's arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from bus.errors import BadRequest
from services.shims.local import rollouts
from services.shims.local.cluster import KINDS, check
from services.shims.local.faults import Fault
from services.shims.local.fields import canonical
from services.shims.local.labels import label_test
from services.shims.local.manifests import Reference, bad_field, manifests, missing, only, option, references
from services.shims.local.objects import Stamp, applied
from services.shims.local.scopes import cluster_scoped
from services.shims.local.view import View

Result: TypeAlias = dict[str, Any]

MANAGER = "ote"
"""Who owns what is applied without a `fieldManager`."""
LIST_LIMIT = 500
LIST_BYTES = 192 * 1024
"""What one answer lists at most: it travels in an event."""


def apply(view: View, args: Mapping[str, Any]) -> Result:
    """`{"objects": [{"kind", "name", "namespace", "result": "created" | "configured" | "unchanged"}]}`."""
    wrapped = _wrapped(args)
    if wrapped:
        only(args, wrapped, "fieldManager")
    manager = option(args, "fieldManager", MANAGER) if wrapped else MANAGER
    if not manager:
        raise BadRequest("fieldManager: Required value: it may be left out, not empty", field="fieldManager")
    results = []
    for at, reference, document in manifests(args, cluster_scoped(args, view.objects)):
        before = view.find(reference)
        if KINDS.get(reference.kind) == reference.api_version:
            document = _without_status(document)
        after = applied(before, document, manager, _stamp(view))
        if after is not before:
            _check(at, reference, after)
            view.put(after)
        results.append(_told(reference, "created" if not before else "unchanged" if after is before else "configured"))
    return {"objects": results}


def delete(view: View, args: Mapping[str, Any]) -> Result:
    """`{"objects": [{"kind", "name", "namespace", "result": "deleted" | "absent"}]}`; `absent` only with
    `ignoreNotFound`, else it is an error."""
    ignore = option(args, "ignoreNotFound", False)
    results = []
    for at, reference in _references(view, args, "ignoreNotFound"):
        found = view.find(reference, at)
        if found:
            view.remove(found)
        elif not ignore:
            raise missing(reference, at)
        results.append(_told(reference, "deleted" if found else "absent"))
    return {"objects": results}


def get(view: View, args: Mapping[str, Any]) -> Result:
    """The object, or a `List` of them where several are asked for."""
    found = []
    for at, reference in _references(view, args):
        if (one := view.find(reference, at)) is None:
            raise missing(reference, at)
        found.append(one)
    return found[0] if _wrapped(args) != "manifests" and len(found) == 1 else _list(found)


def list_(view: View, args: Mapping[str, Any]) -> Result:
    """A `List` of the objects that fit, in order of kind, namespace and name; Events only where their kind is asked
    for. Where they are more than an answer holds, `metadata.remainingItemCount` says how many are left out."""
    only(args, "kind", "apiVersion", "namespace", "labelSelector", "limit")
    kind, api_version, namespace = (option(args, name, "") for name in ("kind", "apiVersion", "namespace"))
    limit = option(args, "limit", LIST_LIMIT)
    if limit < 1:
        raise BadRequest(f"limit: Invalid value: {limit}: must be at least 1", field="limit")
    fits = label_test(option(args, "labelSelector", ""))
    found = [
        one
        for one in view.objects.objects(kind=kind or None, namespace=namespace or None)
        if (kind or one["kind"] != "Event")
        and api_version in ("", one["apiVersion"])
        and fits(one["metadata"].get("labels") or {})
    ]
    return _list(found, limit)


VERBS: Final[Mapping[str, Callable[[View, Mapping[str, Any]], Result]]] = {
    "apply": apply,
    "delete": delete,
    "get": get,
    "list": list_,
    "scale": rollouts.scale,
    "rollout-status": rollouts.status,
    "rollout-history": rollouts.history,
    "rollout-restart": rollouts.restart,
    "rollout-undo": rollouts.undo,
    "rollout-pause": rollouts.pause,
    "rollout-resume": rollouts.resume,
}


def _wrapped(args: Mapping[str, Any]) -> str | None:
    """The argument that holds the manifests; None if the arguments are one themselves."""
    return next((name for name in ("manifests", "manifest") if name in args), None)


def _references(view: View, args: Mapping[str, Any], *options: str) -> list[tuple[str, Reference]]:
    if wrapped := _wrapped(args):
        only(args, wrapped, *options)
    elif "metadata" not in args and args.get("kind") != "List":
        only(args, "apiVersion", "kind", "name", "namespace", *options)
    return references(args, cluster_scoped(args, view.objects))


def _stamp(view: View) -> Stamp:
    return Stamp(view.new_uid(), view.next_version(), view.time)


def _without_status(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The status of what the cluster looks after is its own, but for what a node has."""
    return manifest if manifest["kind"] == "Node" else {key: manifest[key] for key in manifest if key != "status"}


def _check(at: str, reference: Reference, object: Mapping[str, Any]) -> None:
    if KINDS.get(reference.kind) != reference.api_version:
        return
    try:
        check(object)
    except Fault as fault:
        raise bad_field(at, fault.field, fault.text, reference) from None


def _told(reference: Reference, result: str) -> dict[str, str]:
    return {"kind": reference.kind, "name": reference.name, "namespace": reference.namespace, "result": result}


def _list(found: list[dict[str, Any]], limit: int = LIST_LIMIT) -> Result:
    items: list[dict[str, Any]] = []
    size = 0
    for one in found[:limit]:
        size += len(canonical(one))
        if size > LIST_BYTES and items:
            break
        items.append(one)
    left = len(found) - len(items)
    metadata = {"remainingItemCount": left} if left else {}
    return {"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": items}

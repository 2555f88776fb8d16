"""Which kinds are in no namespace, the kinds of CustomResourceDefinitions included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from services.shims.keys import CLUSTER_SCOPED, manifests_in
from services.shims.local.view import Objects

_DEFINITION = "CustomResourceDefinition"


def cluster_scoped(args: Mapping[str, Any], objects: Objects) -> frozenset[str]:
    """Kubernetes' own kinds, and where the arguments may hold others those that a definition, in the
    cluster or in the arguments themselves, says."""
    documents = [document for _, document in manifests_in(args) if isinstance(document, Mapping)]
    if not any(map(_may_be_custom, documents)):
        return CLUSTER_SCOPED
    defined = [document for document in documents if document.get("kind") == _DEFINITION]
    return CLUSTER_SCOPED.union(_kinds([*objects.objects(kind=_DEFINITION), *defined]))


def _may_be_custom(document: Mapping[str, Any]) -> bool:
    group = str(document.get("apiVersion") or "").rpartition("/")[0]
    return "apiVersion" not in document or ("." in group and not group.endswith(".k8s.io"))


def _kinds(definitions: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for definition in definitions:
        match definition.get("spec"):
            case {"scope": "Cluster", "names": {"kind": str(kind)}}:
                yield kind

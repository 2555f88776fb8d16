"""Which objects a verb touches, read from its arguments, so that work on one object never overlaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

DEFAULT_NAMESPACE = "default"
CLUSTER_SCOPED = frozenset(
    {
        "APIService",
        "CSIDriver",
        "CSINode",
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "ClusterTrustBundle",
        "CustomResourceDefinition",
        "DeviceClass",
        "FlowSchema",
        "GatewayClass",
        "IPAddress",
        "IngressClass",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "ResourceSlice",
        "RuntimeClass",
        "ServiceCIDR",
        "StorageClass",
        "StorageVersion",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
        "VolumeAttributesClass",
    }
)
"""Kubernetes' own kinds that are in no namespace."""


def manifests_in(args: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The documents in the arguments of apply, delete and get, each with where it stands: `manifest`, one
    of `manifests`, or the arguments themselves; a `List` is its items. Whether they are manifests is not
    looked at."""
    if "manifests" in args:
        many = args["manifests"]
        documents = [(f"manifests[{at}]", one) for at, one in enumerate(many)] if isinstance(many, list) else []
    elif "manifest" in args:
        documents = [("manifest", args["manifest"])]
    else:
        documents = [("", args)]
    return [found for at, document in documents for found in _items(at, document)]


def _items(at: str, document: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(document, Mapping) and document.get("kind") == "List" and isinstance(document.get("items"), list):
        prefix = f"{at}." if at else ""
        yield from ((f"{prefix}items[{number}]", item) for number, item in enumerate(document["items"]))
    else:
        yield at, document


def objects_in(args: Mapping[str, Any]) -> frozenset[str] | None:
    """One key for each object that the arguments name, `kind/namespace/name`; None if one is not named.

    The group is left out, so that a reference without one meets its object; two kinds of one name in
    two groups wait for each other in vain, which harms nobody.
    """
    keys = {_key(document) for _, document in manifests_in(args)}
    return None if None in keys or not keys else frozenset(key for key in keys if key)


def _key(document: Any) -> str | None:
    if not isinstance(document, Mapping):
        return None
    metadata = document.get("metadata", document)
    if not isinstance(metadata, Mapping):
        return None
    kind, name = document.get("kind"), metadata.get("name")
    namespace = metadata.get("namespace") or DEFAULT_NAMESPACE
    if not (isinstance(kind, str) and isinstance(name, str) and isinstance(namespace, str) and kind and name):
        return None
    return f"{kind}/{'' if kind in CLUSTER_SCOPED else namespace}/{name}"

"""The arguments of the local shim's verbs, checked: manifests, and references to objects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from bus.errors import BadRequest, NotFound
from bus.paths import shown
from services.shims.keys import CLUSTER_SCOPED, DEFAULT_NAMESPACE, manifests_in
from services.shims.local.names import labels_fault, name_fault, namespace_fault, subdomain_fault

T = TypeVar("T")

_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
_KINDS = {str: "a string", bool: "true or false", int: "a whole number"}
_VERSION = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")


class Reference(NamedTuple):
    """Which object is meant. `api_version` is "" where none was said, `namespace` is "" for what has none."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        group = self.api_version.rpartition("/")[0]
        return f'{self.kind}{"." + group if group else ""} "{self.name}"'


class Manifest(NamedTuple):
    """A checked manifest and the object that it is for; `at` is where it stands in the arguments."""

    at: str
    reference: Reference
    document: Mapping[str, Any]


def manifests(args: Mapping[str, Any], cluster_scoped: frozenset[str] = CLUSTER_SCOPED) -> list[Manifest]:
    """The manifests to apply. BadRequest, with the field, for the first that is wrong."""
    return [_manifest(at, document, cluster_scoped) for at, document in _documents(args)]


def references(args: Mapping[str, Any], cluster_scoped: frozenset[str] = CLUSTER_SCOPED) -> list[tuple[str, Reference]]:
    """The objects that are meant, by manifest or by `{"apiVersion"?, "kind", "name", "namespace"?}`, each
    with where it stands in the arguments."""
    return [(at, _reference(at, document, cluster_scoped)) for at, document in _documents(args)]


def option(args: Mapping[str, Any], name: str, default: T) -> T:
    """An optional argument, of the type of its default."""
    value = args.get(name, default)
    if type(value) is not type(default):
        raise BadRequest(f"{name}: Invalid value: {shown(value)}: must be {_KINDS[type(default)]}", field=name)
    return value


def only(args: Mapping[str, Any], *known: str) -> None:
    """Refuses arguments that are not known: a slip in `ignoreNotFound` must not pass."""
    if unknown := sorted(set(args).difference(known)):
        raise BadRequest(
            f"unknown argument {shown(unknown[0])}", field=unknown[0][:80], hint=f"known are {', '.join(known)}"
        )


def _documents(args: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found = manifests_in(args)
    if not found:
        raise BadRequest("manifests: Required value: a list of one manifest or more", field="manifests")
    return found


def _manifest(at: str, document: Any, cluster_scoped: frozenset[str]) -> Manifest:
    reference = _reference(at, document, cluster_scoped, bare=False)
    metadata = document["metadata"]
    if not reference.api_version:
        raise bad_field(at, "apiVersion", "Required value: such as v1 or apps/v1")
    for field, free in (("labels", False), ("annotations", True)):
        labels = metadata.get(field)
        if labels is not None and not isinstance(labels, dict):
            raise bad_field(at, f"metadata.{field}", f"Invalid value: {shown(labels)}: must be a map", reference)
        if labels and (fault := labels_fault(labels, free_values=free)):
            raise bad_field(at, f"metadata.{field}", fault, reference)
    metadata = {**metadata, "namespace": reference.namespace or None}
    return Manifest(at, reference, {**document, "metadata": metadata})


def _reference(at: str, document: Any, cluster_scoped: frozenset[str], *, bare: bool = True) -> Reference:
    """The object that is meant; its name may stand outside of `metadata` where a `bare` reference will do."""
    if not isinstance(document, Mapping):
        raise bad_field(at, "", f"Invalid value: {shown(document)}: must be a map")
    in_metadata = not bare or "metadata" in document
    place = document.get("metadata", {}) if in_metadata else document
    if not isinstance(place, Mapping):
        raise bad_field(at, "metadata", f"Invalid value: {shown(place)}: must be a map")
    prefix = "metadata." if in_metadata else ""
    api_version = _api_version(at, document.get("apiVersion"))
    kind = document.get("kind")
    if kind is None or kind == "":
        raise bad_field(at, "kind", "Required value: such as Deployment")
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise bad_field(at, "kind", f"Invalid value: {shown(kind)}: must be letters and digits")
    name = place.get("name")
    if name is None:
        raise bad_field(at, f"{prefix}name", "Required value: an object has a name")
    reference = Reference(api_version, kind, "", str(name))
    if fault := name_fault(kind, name):
        raise bad_field(at, f"{prefix}name", fault, reference)
    namespace = place.get("namespace") or DEFAULT_NAMESPACE
    if fault := namespace_fault(namespace):
        raise bad_field(at, f"{prefix}namespace", fault, reference)
    return reference if kind in cluster_scoped else reference._replace(namespace=namespace)


def _api_version(at: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        group, slash, version = value.rpartition("/")
        if _VERSION.fullmatch(version) and not (slash and subdomain_fault(group)):
            return value
    raise bad_field(at, "apiVersion", f"Invalid value: {shown(value)}: must be VERSION or GROUP/VERSION")


def missing(reference: Reference, at: str) -> NotFound:
    """The error about an object that is not there."""
    place = f" in namespace {reference.namespace!r}" if reference.namespace else ""
    return NotFound(f"{reference} not found{place}", field=at or None)


def bad_field(at: str, field: str, fault: str, reference: Reference | None = None) -> BadRequest:
    """The error about a field of the manifest that stands there."""
    where = ".".join(part for part in (at, field) if part)
    message = ": ".join(part for part in (field, fault) if part)
    if reference:
        message = f"{reference} is invalid: {message}"
    return BadRequest(message, field=where or None)

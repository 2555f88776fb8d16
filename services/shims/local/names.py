"""What names, labels and annotations of Kubernetes may be, in words that say what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bus.paths import shown

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LABEL_NAME = re.compile(_LABEL)
_SERVICE_NAME = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")
_RBAC = frozenset({"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"})


def name_fault(kind: str, name: Any) -> str | None:
    """Why no object of this kind can have this name; None if it can."""
    if not isinstance(name, str):
        return f"Invalid value: {shown(name)}: must be a string"
    if not name:
        return "Required value: an object has a name"
    if kind in _RBAC:
        bad = name in (".", "..") or "/" in name or "%" in name
        return f"Invalid value: {shown(name)}: may not be '.' or '..' or contain '/' or '%'" if bad else None
    if kind == "Service":
        return _fault(name, _SERVICE_NAME, 63, "an RFC 1035 label: a-z, 0-9 and '-', beginning with a letter")
    return namespace_fault(name) if kind == "Namespace" else subdomain_fault(name)


def namespace_fault(name: Any) -> str | None:
    """Why nothing can be in a namespace of this name; None if it can."""
    if not isinstance(name, str):
        return f"Invalid value: {shown(name)}: must be a string"
    return _fault(name, _LABEL_NAME, 63, "an RFC 1123 label: a-z, 0-9 and '-', with a letter or digit at both ends")


def subdomain_fault(name: str) -> str | None:
    """Why this is no RFC 1123 subdomain; None if it is."""
    words = "a lower-case RFC 1123 subdomain: a-z, 0-9, '-' and '.', with a letter or digit at both ends"
    return _fault(name, _SUBDOMAIN, 253, words)


def labels_fault(labels: Mapping[Any, Any], *, free_values: bool = False) -> str | None:
    """Why these are no labels (annotations with `free_values`); None if they are."""
    for key, value in labels.items():
        if fault := label_key_fault(key):
            return fault
        if value is None:
            continue
        if not isinstance(value, str):
            return f"Invalid value: {shown(value)}: the value of {key} must be a string"
        if not free_values and (fault := label_value_fault(value)):
            return fault
    return None


def label_key_fault(key: Any) -> str | None:
    """Why this is no key of a label; None if it is."""
    if not isinstance(key, str):
        return f"Invalid value: {shown(key)}: a key must be a string"
    prefix, slash, word = key.rpartition("/")
    if slash and (fault := subdomain_fault(prefix)):
        return fault
    return _fault(
        word, _QUALIFIED, 63, "a label key: letters, digits, '-', '_' and '.', with a letter or digit at both ends"
    )


def label_value_fault(value: str) -> str | None:
    """Why this is no value of a label; None if it is."""
    words = "empty or letters, digits, '-', '_' and '.', with a letter or digit at both ends"
    return _fault(value, _QUALIFIED, 63, words) if value else None


def _fault(text: str, pattern: re.Pattern[str], limit: int, words: str) -> str | None:
    if len(text) > limit:
        return f"Invalid value: {shown(text)}: must be no more than {limit} characters"
    return None if pattern.fullmatch(text) else f"Invalid value: {shown(text)}: must be {words}"

"""Kubernetes' label selectors: `app=web`, `tier!=db`, `zone in (eu,us)`, `zone notin (eu)`, `canary`, `!canary`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from bus.errors import BadRequest
from bus.paths import shown
from services.shims.local.names import label_key_fault, label_value_fault

Test: TypeAlias = Callable[[Mapping[str, str]], bool]

_REQUIREMENT = re.compile(
    r"""\s*(?:
        (?:(?P<absent>!)\s*)?(?P<key>[^\s,()=!<>]+)
        (?:\s*(?P<equals>==?|!=)\s*(?P<value>[^\s,()=!<>]*) | \s+(?P<among>in|notin)\s*\((?P<values>[^()]*)\))?
    )\s*(?:,|$)""",
    re.VERBOSE,
)


def label_test(selector: str, field: str = "labelSelector") -> Test:
    """Whether an object's labels fit the selector; the empty selector fits all. BadRequest says at which
    character the selector is wrong."""
    tests: list[Test] = []
    at = 0
    while at < len(selector.rstrip()):
        found = _REQUIREMENT.match(selector, at)
        if not found or (found["absent"] and (found["equals"] or found["among"])):
            raise BadRequest(
                f"unable to parse the label selector at character {at + 1}: {shown(selector[at:])}",
                field=field,
                hint="such as app=web,tier!=db,zone in (eu,us),!canary",
            )
        tests.append(_requirement(found, field))
        at = found.end()
    return lambda labels: all(test(labels) for test in tests)


def _requirement(found: re.Match[str], field: str) -> Test:
    key = found["key"]
    texts = found["values"].split(",") if found["among"] else [found["value"] or ""]
    values = frozenset(text.strip() for text in texts)
    for fault in (label_key_fault(key), *map(label_value_fault, sorted(values))):
        if fault:
            raise BadRequest(f"label selector, {shown(key)}: {fault}", field=field)
    if found["absent"]:
        return lambda labels: key not in labels
    if found["equals"] == "!=" or found["among"] == "notin":
        return lambda labels: labels.get(key) not in values
    if found["equals"] or found["among"]:
        return lambda labels: labels.get(key) in values
    return lambda labels: key in labels

"""Conditions in the status of objects."""

from __future__ import annotations

from typing import Any


def with_condition(before: Any, condition: dict[str, str], time: str, *, updated: bool = False) -> list[dict[str, str]]:
    """The conditions with this one in its place. Its `lastTransitionTime` moves with its status; with `updated`
    it has a `lastUpdateTime`, which moves with any change."""
    conditions: list[dict[str, str]] = list(before or [])
    was = next((one for one in conditions if one["type"] == condition["type"]), None)
    times = {name: was[name] for name in ("lastUpdateTime", "lastTransitionTime") if was and name in was}
    if was is not None and {name: part for name, part in was.items() if name not in times} == condition:
        return conditions
    now = dict(condition)
    if updated:
        now["lastUpdateTime"] = time
    same_status = was is not None and was["status"] == condition["status"]
    now["lastTransitionTime"] = times.get("lastTransitionTime", time) if same_status else time
    if was is None:
        return [*conditions, now]
    return [now if one is was else one for one in conditions]

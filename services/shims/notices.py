"""Which of a cluster's Events those above are told, and how often: as few as say something new.

What goes well with a pod, its own status says. What is repeated is told the first, second, fourth, eighth time and
so on, so that a count that is known above is at least half of what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_told(object: Mapping[str, Any]) -> bool:
    """Whether those above are told of this object; no, for a Normal Event of a Pod."""
    if object.get("kind") != "Event" or object.get("type") == "Warning":
        return True
    about = object.get("involvedObject", object.get("regarding"))
    return not (isinstance(about, Mapping) and about.get("kind") == "Pod")


def essence(object: Mapping[str, Any]) -> Mapping[str, Any]:
    """What must change for the object to be told again."""
    # A version alone says nothing.
    metadata = {name: part for name, part in object["metadata"].items() if name != "resourceVersion"}
    if object.get("kind") != "Event":
        return {**object, "metadata": metadata}
    said = {name: part for name, part in object.items() if name not in ("lastTimestamp", "series", "count")}
    series = object.get("series")
    count = series.get("count") if isinstance(series, Mapping) else object.get("count")
    return said | {"metadata": metadata, "count": count.bit_length() if isinstance(count, int) else 0}

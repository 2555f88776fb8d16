"""What a pod asks of its node: the requests of its containers, added up as the scheduler does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bus.paths import shown
from services.shims.local.cluster.quantities import Amounts, amounts, most, plus
from services.shims.local.faults import Fault


def demand(spec: Mapping[str, Any], field: str = "spec") -> Amounts:
    """The amounts that a pod of this spec takes of its node. Fault if the spec can not be understood.

    Containers run together; init containers one after the other before them, beside those that stay
    (`restartPolicy: Always`). Where only a limit is given, it is also the request.
    """
    running: Amounts = {}
    peak: Amounts = {}
    for container, at in containers(spec, field, "initContainers"):
        wanted = _requests(container, at)
        if container.get("restartPolicy") == "Always":
            running = plus(running, wanted)
        else:
            peak = most(peak, plus(running, wanted))
    for container, at in containers(spec, field, "containers"):
        running = plus(running, _requests(container, at))
    return plus(most(running, peak), amounts(spec.get("overhead"), f"{field}.overhead"))


def containers(spec: Mapping[str, Any], field: str, kind: str) -> list[tuple[Mapping[str, Any], str]]:
    """The containers of this kind, each with where it stands."""
    found = spec.get(kind)
    if found is None:
        return []
    if not isinstance(found, list):
        raise Fault(f"{field}.{kind}", f"Invalid value: {shown(found)}: must be a list")
    for number, container in enumerate(found):
        if not isinstance(container, Mapping) or not isinstance(container.get("name"), str):
            raise Fault(f"{field}.{kind}[{number}].name", "Required value: a container has a name")
    return [(container, f"{field}.{kind}[{number}]") for number, container in enumerate(found)]


def _requests(container: Mapping[str, Any], at: str) -> Amounts:
    resources = mapping(container, "resources", at)
    limits = amounts(resources.get("limits"), f"{at}.resources.limits")
    return limits | amounts(resources.get("requests"), f"{at}.resources.requests")


def mapping(there: Mapping[str, Any], name: str, at: str = "") -> Mapping[str, Any]:
    """The map under this name, or an empty one. Fault if it is something else."""
    value = there.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Fault(f"{at}.{name}" if at else name, f"Invalid value: {shown(value)}: must be a map")
    return value

"""How a rollout goes: the next numbers of replicas, as Kubernetes' deployment controller finds them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.shims.local.cluster.workloads import Plan


class Crew(NamedTuple):
    """The pods of one template: so many are wanted, so many are there, so many of these are available."""

    wanted: int
    there: int
    available: int


def next_wanted(plan: Plan, new: Crew, old: Sequence[Crew]) -> tuple[int, list[int]]:
    """How many pods to want now of the new template, and of each old one, the oldest first. When it answers
    what is wanted already, the rollout is over or waits for pods to become available."""
    held = [crew.wanted for crew in old]
    if plan.paused:
        return (plan.replicas if not sum(held) else new.wanted), held
    if plan.recreate:
        gone = not any(crew.there for crew in old)
        return (plan.replicas if gone else new.wanted), [0] * len(old)
    up = _new_wanted(plan, new, sum(held))
    return (up, held) if up != new.wanted else (up, _old_wanted(plan, new, old))


def _new_wanted(plan: Plan, new: Crew, old: int) -> int:
    if new.wanted >= plan.replicas:
        return plan.replicas
    room = plan.replicas + plan.surge - new.wanted - old
    return min(plan.replicas, new.wanted + max(room, 0))


def _old_wanted(plan: Plan, new: Crew, old: Sequence[Crew]) -> list[int]:
    """First those that are not available, which nobody misses; then others, as far as enough stay."""
    enough = plan.replicas - plan.unavailable
    wanted = [crew.wanted for crew in old]
    spare = new.wanted + sum(wanted) - enough - (new.wanted - new.available)
    for at, crew in enumerate(old):
        broken = max(min(spare, crew.wanted - crew.available), 0)
        wanted[at] -= broken
        spare -= broken
    spare = new.available + sum(crew.available for crew in old) - enough
    for at in range(len(old)):
        fewer = max(min(spare, wanted[at]), 0)
        wanted[at] -= fewer
        spare -= fewer
    return wanted

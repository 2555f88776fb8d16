"""Laws of a rollout: it keeps enough pods and makes not too many, whatever becomes available when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.shims.local.cluster.rollout import Crew, next_wanted
from services.shims.local.cluster.workloads import Plan


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    replicas = draw(st.integers(0, 12))
    surge, unavailable = draw(st.integers(0, 5)), draw(st.integers(0, 5))
    unavailable = min(unavailable, replicas) if surge or unavailable else 1
    return Plan(replicas, {}, "h", draw(st.booleans()), surge, unavailable, False, 10)


@given(plans(), st.lists(st.integers(0, 8), max_size=3), st.randoms(use_true_random=False), st.integers(0, 8))
def test_a_rollout(plan: Plan, old: list[int], chance: object, room: int) -> None:
    """Of the new pods only `room` ever become available, one or more at a time, or all of them when it is 8."""
    new = Crew(0, 0, 0)
    crews = [Crew(many, many, many) for many in old]
    bound = max(plan.replicas + plan.surge, sum(old))
    for _ in range(200):
        enough = min(plan.replicas - plan.unavailable, new.available + sum(crew.available for crew in crews))
        wanted, held = next_wanted(plan, new, crews)
        crews = [Crew(many, many, min(crew.available, many)) for crew, many in zip(crews, held, strict=True)]
        available = new.available + sum(crew.available for crew in crews)
        if not plan.recreate:
            assert available >= enough
            assert wanted + sum(held) <= bound
        now = Crew(wanted, wanted, wanted if room == 8 else min(wanted, room, new.available + 1))
        if now == new and held == [crew.wanted for crew in crews] == old:
            break
        old, new = held, now
    else:
        raise AssertionError("it never comes to rest")
    if room == 8:
        assert new.wanted == plan.replicas and not any(held)

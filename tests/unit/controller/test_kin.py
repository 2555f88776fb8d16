"""Who is named to a cluster as its relatives."""

from __future__ import annotations

import pytest

from bus.sync import Family, Relative
from services.controller.links.kin import NAMED, _near


def row(count: int) -> list[Relative]:
    return [Relative(f"root.r{number:03}", f"h:{number}") for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 5, NAMED, NAMED + 1, 100])
def test_a_cluster_is_told_of_its_neighbours_and_not_of_itself(count: int) -> None:
    siblings = row(count)
    for one in siblings:
        near = _near(siblings, one.path)
        assert one not in near
        assert len(near) == len(set(near)) == min(NAMED, count - 1)


def test_who_is_not_in_the_row_is_told_of_some_of_it() -> None:
    assert _near(row(2), "root.a") == row(2)
    assert _near(row(2), "root.z") == row(2)
    assert len(_near(row(50), "root.z")) == NAMED


def test_each_is_named_to_as_many_as_any_other() -> None:
    siblings = row(100)
    named = [near.path for one in siblings for near in _near(siblings, one.path)]
    assert {named.count(one.path) for one in siblings} == {NAMED}


def test_families_differ_by_their_digest() -> None:
    one, other = Family(uncles=row(2)), Family(uncles=row(3))
    assert one.digest == Family(uncles=row(2)).digest
    assert len({0, Family().digest, one.digest, other.digest}) == 4

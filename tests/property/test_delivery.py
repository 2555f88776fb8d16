"""The delivery protocol against a random adversary: nothing lost, doubled or reordered; and each rule of
the protocol is needed, for without it the adversary wins."""

from __future__ import annotations

import dataclasses
import os
import random

import pytest

from tests.property.lives import Lives
from tests.property.simulation import Rules, Simulation

#: `OTE_SEED` replays or moves the runs.
FIRST = int(os.environ.get("OTE_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)


def violations(seeds: range, rules: Rules) -> list[str]:
    for seed in seeds:
        if found := Simulation(seed, rules).run().violations:
            return [f"seed {seed}: {violation}" for violation in found]
    return []


@pytest.mark.parametrize("part", range(4))
def test_the_adversary_finds_nothing(part: int) -> None:
    print(f"OTE_SEED={FIRST}")
    assert violations(range(FIRST + part * 100, FIRST + part * 100 + 100), Rules()) == []


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(8))
def test_the_adversary_finds_nothing_in_thousands_of_runs(part: int) -> None:
    print(f"OTE_SEED={FIRST}")
    assert violations(range(FIRST + part * 1000, FIRST + part * 1000 + 1000), Rules()) == []


@pytest.mark.parametrize("rule", [field.name for field in dataclasses.fields(Rules)])
def test_without_a_rule_the_adversary_wins(rule: str) -> None:
    print(f"OTE_SEED={FIRST}")
    without = dataclasses.replace(Rules(), **{rule: False})
    assert violations(range(FIRST, FIRST + 300), without)


def losses(seeds: range) -> list[str]:
    for seed in seeds:
        if found := Lives(seed).run().violations:
            return [f"seed {seed}: {violation}" for violation in found]
    return []


def test_an_adversary_that_restores_and_wipes_logs_finds_nothing() -> None:
    assert losses(range(1, 81)) == []


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(4))
def test_an_adversary_that_restores_and_wipes_logs_finds_nothing_in_thousands_of_runs(part: int) -> None:
    print(f"OTE_SEED={FIRST}")
    assert losses(range(FIRST + part * 1000, FIRST + part * 1000 + 1000)) == []

"""Random faults on everything at once; OTE_SEED replays the decisions of a run, OTE_ACTS says how many."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.faults.chaos import Chaos
from tests.faults.echo import echoing
from tests.faults.world import world

ACTS, LONG_ACTS = 150, 3_000


def _seed() -> int:
    seed = int(os.environ.get("OTE_SEED") or random.randrange(2**32))
    print(f"OTE_SEED={seed}")
    return seed


async def _run(directory: Path, acts: int) -> None:
    seed = _seed()
    async with world(directory) as found:
        chaos = Chaos(found, seed)
        async with echoing(found.tree, random.Random(seed)):
            await chaos.run(int(os.environ.get("OTE_ACTS") or acts))
            print(dict(chaos.done))
            await found.at_rest()
        print(found.states())
        await found.verified()


@pytest.mark.timeout(240)
async def test_whatever_happens_every_promise_is_kept(tmp_path: Path) -> None:
    await _run(tmp_path, ACTS)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_whatever_happens_for_long_every_promise_is_kept(tmp_path: Path) -> None:
    await _run(tmp_path, LONG_ACTS)

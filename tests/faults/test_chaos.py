"""Random faults on everything at once, in rounds: some that are the same each time, and as many others as are asked for
(`python -m tests.faults.rounds`)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bus.event import new_id
from tests.faults.audit import lacking, miscounted, misdirected, misjudged
from tests.faults.kit import ONCE
from tests.faults.rounds import Rounds, Stage
from tests.faults.schedule import COMMANDS, FAULTS, schedule

SEED, ROUNDS = "whatever happens", 6
LONG_ROUNDS = 40


async def _play(directory: Path, seed: str, count: int) -> Rounds:
    rounds = Rounds(directory, seed, (), print)
    await rounds.play(count)
    print(rounds.table)
    assert not rounds.failures, "\n".join(rounds.failures)
    return rounds


@pytest.mark.timeout(480)
async def test_whatever_happens_every_promise_is_kept(tmp_path: Path) -> None:
    rounds = await _play(tmp_path, SEED, ROUNDS)
    assert rounds.table.all.rounds == ROUNDS
    assert rounds.table.all.ended["succeeded"]


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_whatever_else_happens_every_promise_is_kept(tmp_path: Path) -> None:
    await _play(tmp_path, str(random.randrange(2**32)), LONG_ROUNDS)


def test_a_round_is_the_same_again_and_every_deed_comes() -> None:
    rounds = [schedule(f"{SEED}.{number}") for number in range(200)]
    assert rounds == [schedule(f"{SEED}.{number}") for number in range(200)]
    assert len(set(map(tuple, rounds))) == len(rounds)
    assert {deed.name for deeds in rounds for deed in deeds} == {*COMMANDS, *FAULTS}


async def test_a_promise_that_is_broken_is_found(tmp_path: Path) -> None:
    """The judges are judged: a command that no log knows, an effect that nobody asked for, a cluster that is away."""
    stray = new_id()
    async with Stage(tmp_path, SEED) as stage:
        await stage.play([])
        found = stage.world
        counter = found.tree.counters["root.a.x"]
        with counter.open("a") as file:
            file.write(f"{stray} 1 bump\n")
        assert list(miscounted(found.logs["root.a.x"], counter)) == [
            f"root.a.x: {stray} was counted and never received"
        ]
        assert lacking(found.logs, {stray: ["root.a.x"]}) == [f"{stray} has no final at root.a.x"]
        assert list(misdirected(found.logs, {stray: ["root.a.x"]}))
        told = (await found["root"].call("clusters", {}, ONCE))["clusters"]
        own = {row["path"]: row for row in told}
        links = {path: {"attached_to": "root"} for path in own}
        assert {what.split(" ")[0] for what in misjudged("root", told, own, links)} == {
            "root.a.x", "root.a.y", "root.a.x.c"
        }  # fmt: skip
        own["root.b"] = {**own["root.b"], "tags": ["night"]}
        assert any("root.b has the tags" in what for what in misjudged("root", told, own, links))

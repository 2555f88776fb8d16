"""Rounds of faults: `python -m tests.faults.rounds --rounds 1000` plays them, and prints what came of each fault.

A seed decides everything that is done in every round. A round that breaks a promise is printed with its deeds, and
with the command that plays it again; `--only 3,5,8` plays some of its deeds, `--shrink` looks for the fewest that still
break it. What real processes make of a schedule is theirs: a round that failed once may need several `--tries`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import structlog

from tests.faults import disks
from tests.faults.chaos import Chaos
from tests.faults.echo import echoing
from tests.faults.schedule import FOUR_TIERS, LOSSES, Deed, schedule
from tests.faults.table import Table
from tests.faults.world import World, world

#: So many rounds are played in one tree: what they leave in its logs is part of the next.
IN_ONE_WORLD = 20


class Stage:
    """A four-tier tree on which rounds are played, one after the other, until one of them breaks a promise."""

    def __init__(self, directory: Path, seed: str) -> None:
        self._directory = directory
        self._seed = seed
        self._stack = AsyncExitStack()
        self._chaos: Chaos
        self.world: World

    async def __aenter__(self) -> Stage:
        self.world = await self._stack.enter_async_context(world(self._directory, FOUR_TIERS))
        echoes = await self._stack.enter_async_context(echoing(self.world.tree, random.Random(self._seed), on=False))
        self._chaos = Chaos(self.world, echoes)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def play(self, deeds: Sequence[Deed]) -> Counter[str]:
        """How the commands ended that ended in this round. AssertionError where a promise is broken."""
        before = Counter(self.world.states())
        if any(deed.name in LOSSES for deed in deeds):
            for tier in self.world.tree.tiers.values():
                disks.back_up(tier.log, tier.state / "copy.db")
        await self._chaos.play(deeds)
        await self._chaos.echo(False)
        await self._chaos.mended()
        await self.world.at_rest()
        await self.world.truthful()
        return Counter(self.world.states()) - before

    async def verified(self) -> None:
        """AssertionError where a log is not what its events make of it."""
        await self.world.verified()


class Rounds:
    """So many rounds of a seed; `say` is told of each."""

    def __init__(
        self, directory: Path, seed: str, without: Collection[str], say: Callable[[str], None], *, losses: bool = False
    ) -> None:
        self._directory = directory
        self._seed = seed
        self._draw = partial(schedule, without=without, losses=losses)
        self._words = (f" --without {','.join(without)}" if without else "") + (" --losses" if losses else "")
        self._say = say
        self.table = Table()
        self.failures: list[str] = []

    async def play(self, count: int) -> None:
        """Plays them all; after a failure the next begins in a fresh tree."""
        number = 0
        while number < count:
            number = await self._play_some(number, min(count, number + IN_ONE_WORLD))

    async def _play_some(self, first: int, end: int) -> int:
        """Returns the round that comes next."""
        directory = self._directory / f"from-{first}"
        number, whole = first, False
        try:
            async with Stage(directory, f"{self._seed}.{first}") as stage:
                for number in range(first, end):
                    await self._round(stage, number)
                await stage.verified()
            whole = True
        except Exception as error:
            self._failed(number, directory, error)
        if whole:
            shutil.rmtree(directory)
        return number + 1

    async def _round(self, stage: Stage, number: int) -> None:
        deeds = self._draw(f"{self._seed}.{number}")
        begin = time.monotonic()
        ended: Counter[str] = Counter()
        broken = True
        try:
            ended = await stage.play(deeds)
            broken = False
        finally:
            self.table.add(deeds, ended, broken=broken)
            said = "broken" if broken else ", ".join(f"{count} {state}" for state, count in ended.items())
            self._say(f"round {number}: {len(deeds)} deeds, {time.monotonic() - begin:.1f} s: {said}")

    def _failed(self, number: int, directory: Path, error: Exception) -> None:
        deeds = self._draw(f"{self._seed}.{number}")
        again = f"python -m tests.faults.rounds --seed {self._seed} --round {number}{self._words}"
        because = f": {error.__cause__}" if error.__cause__ else ""
        self.failures.append(f"round {number} of seed {self._seed}: {error}{because}"[:2000])
        self._say("".join(traceback.format_exception(error))[-6000:])
        self._say(
            "\n".join([*map(str, deeds), f"its files: {directory}", f"again: {again}", f"less: {again} --shrink"])
        )


async def plays(directory: Path, deeds: Sequence[Deed], seed: str) -> Exception | None:
    """What these deeds break in a fresh tree."""
    try:
        async with Stage(directory, seed) as stage:
            await stage.play(deeds)
            await stage.verified()
    except Exception as error:
        return error
    shutil.rmtree(directory)
    return None


async def shrunk(
    directory: Path, deeds: Sequence[Deed], seed: str, tries: int, say: Callable[[str], None]
) -> list[Deed]:
    """The fewest of these deeds that were found to break something still."""
    left, part, number = list(deeds), max(1, len(deeds) // 2), 0
    while part:
        start = 0
        while start < len(left):
            fewer = left[:start] + left[start + part :]
            breaks = False
            for _ in range(tries if fewer else 0):
                number += 1
                breaks = breaks or await plays(directory / f"try-{number}", fewer, seed) is not None
            if breaks:
                left = fewer
                say(f"{len(left)} deeds still break it: --only {','.join(str(deed.place) for deed in left)}")
            else:
                start += part
        part //= 2
    return left


def _few_words() -> None:
    """Clients of servers that are killed have much to say, and nothing new."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.rounds", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", default=str(random.randrange(2**32)), help="what decides everything")
    parser.add_argument("--round", type=int, help="this round alone, in a fresh tree")
    parser.add_argument("--only", type=lambda text: {int(place) for place in text.split(",")}, help="its deeds: 3,5,8")
    parser.add_argument("--shrink", action="store_true", help="the fewest of its deeds that still break a promise")
    parser.add_argument("--tries", type=int, default=2, help="how often fewer deeds are tried")
    parser.add_argument("--without", type=lambda text: text.split(","), default=[], help="leave out: clock,echo")
    parser.add_argument("--losses", action="store_true", help="logs that are lost, old, cut short, or damaged too")
    parser.add_argument("--directory", type=Path, help="where the trees are; those that fail are left there")
    return parser.parse_args()


async def _main(asked: argparse.Namespace) -> int:
    directory = asked.directory or Path(tempfile.mkdtemp(prefix="ote-rounds-"))

    def say(text: str) -> None:
        print(text, flush=True)

    say(f"seed {asked.seed}, in {directory}")
    if asked.round is None:
        rounds = Rounds(directory, asked.seed, asked.without, say, losses=asked.losses)
        await rounds.play(asked.rounds)
        say(str(rounds.table))
        say("\n".join(rounds.failures) or "every promise was kept")
        return bool(rounds.failures)
    seed = f"{asked.seed}.{asked.round}"
    drawn = schedule(seed, asked.without, losses=asked.losses)
    deeds = [deed for deed in drawn if asked.only is None or deed.place in asked.only]
    if asked.shrink:
        deeds = await shrunk(directory, deeds, seed, asked.tries, say)
        say("\n".join(map(str, deeds)))
        return 0
    say("\n".join(map(str, deeds)))
    errors = [error for n in range(asked.tries) if (error := await plays(directory / f"try-{n}", deeds, seed))]
    for error in errors:
        say("".join(traceback.format_exception(error))[-6000:])
    say(f"{len(errors)} of {asked.tries} broke a promise")
    return bool(errors)


if __name__ == "__main__":
    _few_words()
    sys.exit(asyncio.run(_main(_arguments())))

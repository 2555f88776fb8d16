"""What happens in a round: a seed decides it before anything happens, so that a round can be played again, and again
with less of it.

A deed says what is tried, whatever it meets: to kill a tier that is dead changes nothing. So those that are left when a
round is cut down mean what they meant before.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tests.faults.traps import KILL, KILL_ALL, STOP

#: Four tiers, and two regions that take each other's sites in. Nobody runs the shim `nobody`.
HELPED = ["--failover", "--child-login", "child:of-this-tree", "--fallback-after", "1s"]
FOUR_TIERS: Mapping[str, list[str]] = {
    "root": ["--no-shims", *HELPED],
    "root.a": ["--no-shims", *HELPED],
    "root.b": ["--no-shims", *HELPED],
    "root.a.x": ["--tag", "site", "--shim", "local", "--shim", "counter", *HELPED],
    "root.a.y": ["--tag", "site", *HELPED],
    "root.a.x.c": ["--tag", "cell", "--shim", "local", "--shim", "counter", *HELPED],
}
TIERS = list(FOUR_TIERS)
CHILDREN = [path for path in TIERS if "." in path]
COUNTING = ["root.a.x", "root.a.x.c"]
#: Where commands come from, and to whom they may go. Tags change meanwhile: some mean nobody then.
ORIGINS = {
    "root": ["tag:site", "root.a.>", "root.a.x", "root.a.y", "root.a.x.c", "tag:night", "like:*x*"],
    "root.a": [
        "tag:site or tag:cell",
        "root.a.x",
        "root.a.y",
        "under:root.a.x",
        "tag:site and not tag:night or root.a.x",
    ],
    "root.a.x": ["root.a.x", "root.a.x.c", "tag:cell", "tag:night or root.a.x"],
    "root.a.y": ["root.a.y"],
    "root.a.x.c": ["root.a.x.c"],
}
STEPS = [
    "before commit submitted",
    "after commit submitted",
    "before commit received",
    "after commit received",
    "before commit succeeded",
    "after commit succeeded",
    "after publish succeeded",
    "before execute local",
    "after execute counter",
    "before mail",
    "after answer ship",
    "before take",
    "after ask mail",
    "after ask ship",
    "before commit attached",
]
KEYS = ["one", "two"]
SHORT_TTL = 0.3
LONGEST_PAUSE = 0.08
#: How many things happen in a round.
FEWEST, MOST = 10, 24
DAY = 86_400.0

Draw = Callable[[random.Random], tuple[Any, ...]]


@dataclass(frozen=True)
class Deed:
    """What is done in its `place` in the round, `pause` seconds after what was before it."""

    place: int
    pause: float
    name: str
    words: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return " ".join(map(str, (f"{self.place}:", self.name, *self.words)))


def one_of(*choices: Collection[Any]) -> Draw:
    """One of each."""
    return lambda rng: tuple(rng.choice(list(each)) for each in choices)


def _command(rng: random.Random) -> tuple[Any, ...]:
    origin = rng.choice(list(ORIGINS))
    to = rng.choice(ORIGINS[origin])
    do = rng.choice(["bump", "set", "apply"]) if to in COUNTING else "apply"
    key = rng.choice(KEYS) if rng.random() < 0.3 else None
    return origin, to, do, key, SHORT_TTL if rng.random() < 0.1 else None


def _tag(rng: random.Random) -> tuple[Any, ...]:
    target = rng.choice(TIERS)
    above = [path for path in TIERS if target == path or target.startswith(path + ".")]
    return rng.choice(above), target, rng.choice(["on", "off"])


def _trap(rng: random.Random) -> tuple[Any, ...]:
    return rng.choice(TIERS), rng.choice(STEPS), rng.choice([KILL, KILL_ALL, STOP]), rng.randint(1, 3)


def _clock(rng: random.Random) -> tuple[Any, ...]:
    return rng.choice(TIERS), rng.choice([0.0, 1.0, -1.0, 7.5, -7.5, 300.0, -300.0, DAY, -DAY])


#: What may happen, how often among the rest, and what it is done to.
COMMANDS: Mapping[str, tuple[int, Draw]] = {
    "submit": (60, _command),
    "cancel": (4, one_of(range(10))),
    "resolve": (4, one_of(["done", "failed", "retry"])),
    "tag": (4, _tag),
}
FAULTS: Mapping[str, tuple[int, Draw]] = {
    "cut": (4, one_of(CHILDREN)),
    "hang": (3, one_of(CHILDREN)),
    "one-way": (2, one_of(CHILDREN, ["up", "down"])),
    "half-open": (3, one_of(CHILDREN)),
    "delay": (2, one_of(CHILDREN, [0.01, 0.05, 0.2, 0.5])),
    "loss": (2, one_of(CHILDREN, [0.02, 0.1])),
    "narrow": (1, one_of(CHILDREN, [8_000, 50_000])),
    "heal": (6, one_of(CHILDREN)),
    "address": (2, one_of(CHILDREN)),
    "kill": (3, one_of(TIERS)),
    "kill-server": (3, one_of(TIERS)),
    "kill-both": (3, one_of(TIERS)),
    "kill-shim": (2, one_of(COUNTING)),
    "kill-level": (1, one_of(range(4))),
    "restart": (2, one_of(TIERS)),
    "start": (6, one_of(TIERS)),
    "freeze": (2, one_of(TIERS)),
    "freeze-server": (2, one_of(TIERS)),
    "thaw": (5, one_of(TIERS)),
    "trap": (6, _trap),
    "full-disk": (3, one_of(TIERS)),
    "slow-disk": (3, one_of(TIERS, [0.005, 0.05, 0.3])),
    "torn-page": (2, one_of(TIERS, range(100))),
    "clock": (4, _clock),
    "echo": (3, one_of([True, True, False])),
    "drain": (2, one_of(["root.a", "root.b"], ["on", "off"])),
    "move": (2, one_of(["root.a.x", "root.a.y"], ["root.a", "root.b"])),
}

#: What takes from a log what it had said; played where it is asked for.
LOSSES: Mapping[str, tuple[int, Draw]] = {
    "lost-log": (3, one_of(TIERS)),
    "old-log": (3, one_of(TIERS)),
    "short-log": (3, one_of(TIERS, range(1, 20))),
    "flipped-bit": (3, one_of(TIERS, range(1000))),
}


def schedule(seed: str, without: Collection[str] = (), *, losses: bool = False) -> list[Deed]:
    """One round."""
    rng = random.Random(seed)
    known = {**COMMANDS, **FAULTS, **(LOSSES if losses else {})}
    kinds = {name: kind for name, kind in known.items() if name not in without}
    names = rng.choices(list(kinds), [weight for weight, _ in kinds.values()], k=rng.randint(FEWEST, MOST))
    return [Deed(n, round(rng.uniform(0, LONGEST_PAUSE), 3), name, kinds[name][1](rng)) for n, name in enumerate(names)]

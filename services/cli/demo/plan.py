"""What a run of the demo does where: chosen by its seed, so that a run can be played again."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from services.cli.lab.tree import TREE, at_or_below

ROOT = "root"
REGIONS = ("root.east", "root.west")
#: Commands that each of the three submits while the links are cut.
FROM_ROOT, FROM_REGION, FROM_SITE = 24, 16, 10


@dataclass(frozen=True, slots=True)
class Plan:
    """The region and the site (of the other region) that are cut off, whether the site's link hangs instead,
    the tier whose process is killed, and after how many of the root's commands."""

    seed: int
    region: str
    site: str
    hang: bool
    killed: str
    kill_after: int

    @property
    def origins(self) -> dict[str, int]:
        """Who submits how many commands meanwhile."""
        return {ROOT: FROM_ROOT, self.region: FROM_REGION, self.site: FROM_SITE}


def make_plan(seed: int) -> Plan:
    """The plan of this seed, always the same."""
    random = Random(seed)
    region, other = random.sample(REGIONS, 2)
    sites = [path for path in at_or_below(TREE, other) if path.count(".") == 2]
    return Plan(
        seed=seed,
        region=region,
        site=random.choice(sites),
        hang=random.random() < 0.5,
        killed=random.choice([tier.path for tier in TREE]),
        kill_after=random.randrange(FROM_ROOT // 4, FROM_ROOT // 2),
    )

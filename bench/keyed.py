"""Tiers with keys, for what signatures cost: `python -m bench.keyed FILE` is `ote tier` with the key in the file.

They log in with passwords, so that nothing else differs.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import nkeys
import structlog

from bus import paths, subjects
from bus.event import Draft
from bus.signing import Signer
from bus.types import ADMITTED
from services.controller.controller import Controller
from services.shims.host import Host
from services.shims.shims import make_shims
from services.tier.run import Factory, run_tier
from services.tier.runtime import Runtime, Service
from services.tier.settings import TierSettings
from services.tier.trust import Trust


@dataclass
class Keyring:
    """The seeds of the keys of a tree's tiers, each tier the child of the one before."""

    seeds: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def make(tree: Sequence[str]) -> Keyring:
        """New ones."""
        return Keyring({path: nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER).decode() for path in tree})

    def trust(self, path: str, state: Path) -> Trust:
        """What this tier knows when it starts for the first time."""
        above = {str(each): Signer(self.seeds[each]).public for each in paths.ancestors(paths.Path(path))}
        return Trust(path, Signer(self.seeds[path]), above, {}, state / "unsigned.json")

    def admission(self, path: str) -> Factory:
        """Tells the key of the child."""
        below = [(each, Signer(seed).public) for each, seed in self.seeds.items() if paths.parent(each) == path]
        return lambda runtime: Admission(runtime, below)


class Admission:
    """A service that admits children when it starts, and has no more to do."""

    name = "admission"

    def __init__(self, runtime: Runtime, below: Sequence[tuple[str, str]]) -> None:
        self._runtime = runtime
        self._below = below

    async def start(self) -> None:
        """Says whose keys they are."""
        for path, key in self._below:
            draft = Draft(ADMITTED, subjects.event(ADMITTED, self._runtime.path), {"path": path, "key": key})
            await self._runtime.log.write(lambda tx, draft=draft: tx.append(draft))  # type: ignore[misc]

    async def run(self) -> None:
        """Nothing."""

    async def stop(self) -> None:
        """Nothing."""


def config(settings: TierSettings, keys: Keyring) -> str:
    """What `main` reads."""
    return json.dumps({"settings": settings.model_dump(mode="json", exclude_unset=True), "keys": asdict(keys)})


def _host(runtime: Runtime) -> Service:
    return Host(runtime, make_shims(runtime, runtime.settings.shims))


def main(file: Path) -> None:
    """Runs the tier, as `ote tier` does."""
    read = json.loads(file.read_text())
    settings, keys = TierSettings(**read["settings"]), Keyring(**read["keys"])
    sys.setswitchinterval(0.0005)
    gc.set_threshold(100_000, 50, 100)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    factories: list[Factory] = [_host, Controller, keys.admission(settings.path)]
    runner: Callable[..., None] = asyncio.run
    try:
        import uvloop
    except ImportError:
        pass
    else:
        runner = uvloop.run
    runner(run_tier(settings, factories, trust=keys.trust(settings.path, settings.state)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

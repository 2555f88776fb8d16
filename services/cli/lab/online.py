"""Waits until what should be linked is: servers by their own word, clusters by the root's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bus.client import Bus
from bus.errors import Unavailable
from leafnodes.identity import Identity
from leafnodes.monitor import Monitor
from services.cli.lab.tiers import TierProcess
from services.cli.lab.trouble import StepFailed
from services.cli.local_api import LocalApi

PATIENCE, POLL = 30.0, 0.05


async def all_online(root: str, wanted: Sequence[str], tiers: Mapping[str, TierProcess]) -> None:
    """Returns when the tier at this URL sees all these clusters online. StepFailed names those that are not."""
    end = time.monotonic() + PATIENCE
    missing = list(wanted)
    async with await Bus.connect(root, name="ote lab") as bus:
        api = LocalApi(bus)
        while missing:
            if time.monotonic() > end:
                raise StepFailed(
                    f"not online at the root after {PATIENCE:g} s: {', '.join(missing)}", tiers[missing[0]].output
                )
            await asyncio.sleep(POLL)
            missing = await _missing(api, wanted)


async def _missing(api: LocalApi, wanted: Sequence[str]) -> list[str]:
    try:
        online = {cluster["path"] for cluster in await api.clusters() if cluster["state"] == "online"}
    except Unavailable:
        return list(wanted)
    return [path for path in wanted if path not in online]


async def linked(state: Path, path: str, wanted: bool) -> None:
    """Returns when the server in this directory has a link to its parent, or has none."""
    identity = Identity.load(state / "nats.json")
    if identity is None:
        return
    monitor = Monitor(identity.monitor_port)
    end = time.monotonic() + PATIENCE
    while await _has_parent(monitor) is not wanted:
        if time.monotonic() > end:
            raise StepFailed(f"the link of {path} is not {'up' if wanted else 'cut'}", state / "nats.log")
        await asyncio.sleep(POLL)


async def _has_parent(monitor: Monitor) -> bool:
    """False also for a server that does not answer: it has no links."""
    try:
        return any(link.to_parent for link in await monitor.leafz())
    except Unavailable:
        return False

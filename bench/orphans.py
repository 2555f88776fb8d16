"""Two hundred leaf servers lose their parent in one moment: how soon all are served again, and what it costs those who
take them in. Goals are absolute: the column `raw` holds them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.failover import One, within
from bench.harness import Result
from bench.leaves import leaves
from bench.many import cpu, memory
from bus import subjects
from bus.client import Bus
from bus.errors import OteError

ORPHANS = 200
HOME, OTHERS = "root.a", ("root.b", "root.c", "root.d")
#: Each of the three takes in so many: not all find a place there, and the rest is taken in by the root.
GUESTS = 60
PACE = ["--heartbeat", "1s", "--sync-interval", "2s", "--child-login", "child:of-the-bench", "--no-shims"]
#: Seconds: within which they are served again; until they are all there, or something is wrong.
GOAL, PATIENCE = 5.0, 180.0
#: What one orphan may cost its host: milliseconds of CPU and KiB of memory, tier and server together.
CPU_GOAL, MEMORY_GOAL = 50.0, 1024.0


async def orphans() -> list[Result]:
    """The parent and its server are killed; a command to all of them is given in the same moment."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="ote-bench-")))
        tiers: dict[str, One] = {}
        for path in ("root", HOME, *OTHERS):
            above = ["--parent", tiers["root"].info["leaf"]] if path != "root" else []
            room = ["--guests", str(GUESTS)] if path != "root" else []
            one = tiers[path] = One(path, folder / path, [*PACE, *above, *room])
            stack.push_async_callback(one.stop)
            await one.start()
        root = await stack.enter_async_context(await Bus.connect(tiers["root"].info["nats"], name="bench"))
        sites = [f"{HOME}.s{number:03}" for number in range(ORPHANS)]
        settings = {"heartbeat": 1.0, "sync_interval": 2.0, "fallback_after": 60.0}
        await stack.enter_async_context(leaves(sites, tiers[HOME].info["leaf"], **settings))
        await _all(root, HOME)
        await _command(root)
        hosts = {path: _pids(tiers[path]) for path in ("root", *OTHERS)}
        before = {path: (sum(map(cpu, pids)), sum(map(memory, pids))) for path, pids in hosts.items()}
        begin = time.perf_counter()
        tiers[HOME].signal(signal.SIGKILL)
        await _command(root)
        took = time.perf_counter() - begin
        at = await _all(root, *hosts)
        spent = [(sum(map(cpu, pids)) - before[path][0]) / max(1, at[path]) for path, pids in hosts.items()]
        grown = [(sum(map(memory, pids)) - before[path][1]) / max(1, at[path]) for path, pids in hosts.items()]
    cores = os.cpu_count()
    return [
        within(
            f"{ORPHANS} orphaned leaf servers, all served again, on {cores} cores", [took * 1000], GOAL * 1000, "ms"
        ),
        within("CPU of the host for each that it took in, the busiest", [max(spent) * 1000], CPU_GOAL, "ms"),
        within("memory of the host for each that it took in, the fullest", [max(grown) / 1024], MEMORY_GOAL, "KiB"),
        within("taken in beyond what a host takes", [float(max(at[path] for path in OTHERS) - GUESTS)], 0.0, "sites"),
    ]


async def _command(root: Bus) -> None:
    """Returns when a command to all of them is done everywhere."""
    body = {"to": f"under:{HOME} and like:s", "do": {"verb": "list", "args": {"kind": "ConfigMap"}}, "wait": PATIENCE}
    answer = await root.call(subjects.local("submit"), body, timeout=PATIENCE)
    if answer["summary"] != {"succeeded": ORPHANS}:
        raise RuntimeError(f"not all were served: {answer['summary']}")


async def _all(root: Bus, *hosts: str) -> Counter[str]:
    """How many are where, as soon as the root sees all of them online at one of these."""
    found: Counter[str] = Counter()
    async with asyncio.timeout(PATIENCE):
        while found.total() < ORPHANS:
            await asyncio.sleep(0.1)
            with suppress(OteError):
                rows = await _clusters(root)
                found = Counter(row["attached_to"] for row in rows if _is_there(row, hosts))
    return found


def _is_there(row: dict[str, Any], hosts: tuple[str, ...]) -> bool:
    is_site = row["path"].startswith(f"{HOME}.") and bool(row["shims"])
    return is_site and row["state"] == "online" and row["attached_to"] in hosts


async def _clusters(root: Bus) -> list[dict[str, Any]]:
    answer = await root.call(subjects.local("clusters"), {"select": f"under:{HOME}", "limit": 1000}, timeout=10)
    return list(answer["clusters"])


def _pids(one: One) -> list[int]:
    return [one.info["pid"], one.info["server_pid"]]

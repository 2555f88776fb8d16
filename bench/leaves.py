"""Many sites in one process: a tier's real services, each over a log in memory and with a nats-server of its own.
`python -m bench.leaves` starts those that a line on stdin names, and ends with stdin.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog

from bench import raw
from bus.client import Bus
from bus.event import Event
from bus.sync import Family
from leafnodes.server import NatsServer
from services.controller.controller import Controller
from services.shims.host import Host
from services.shims.shims import make_shims
from services.tier import places
from services.tier.runtime import Runtime, Signal
from services.tier.settings import TierSettings
from store.memory import MemoryLog

#: Sites that start at the same time.
AT_ONCE = 8


@dataclass(frozen=True)
class Leaf:
    """One site."""

    server: NatsServer
    bus: Bus
    tasks: list[asyncio.Task[None]]


@asynccontextmanager
async def leaves(paths: Iterable[str], parent: str, **settings: Any) -> AsyncIterator[int]:
    """Sites in a process of their own, below the parent with this leaf URL. Yields its pid when all have started."""
    asked = {"paths": list(paths), "settings": {"parent": parent, **settings}}
    async with raw.process("-m", "bench.leaves", asked=asked) as pid:
        yield pid


async def main() -> None:
    """Runs what stdin names."""
    asked = json.loads(await _line())
    with TemporaryDirectory(prefix="ote-leaves-") as folder:
        async with AsyncExitStack() as stack:
            group = await stack.enter_async_context(asyncio.TaskGroup())
            turns = asyncio.Semaphore(AT_ONCE)

            async def start(path: str) -> Leaf:
                async with turns:
                    return await _start(group, Path(folder) / path, path, asked["settings"])

            started = await asyncio.gather(*(start(path) for path in asked["paths"]))
            print("ready", flush=True)
            await _line()
            for task in (task for leaf in started for task in leaf.tasks):
                task.cancel()
            # A connection that goes on looking for its server would outlive all else.
            await asyncio.gather(*(leaf.bus.close() for leaf in started))
            await asyncio.gather(*(leaf.server.stop() for leaf in started))


async def _start(group: asyncio.TaskGroup, folder: Path, path: str, more: Mapping[str, Any]) -> Leaf:
    folder.mkdir()
    settings = TierSettings(path=path, state=folder, **more)
    log: MemoryLog[Event] = MemoryLog(path)
    connection: Signal[bool] = Signal()
    server = NatsServer(state_dir=folder, path=path, parent=settings.parent, start_timeout=60.0)
    await server.start()
    bus = await Bus.connect(server.client_url, name=f"ote {path}", on_state=connection.emit)
    begin = next(iter(places.routes(settings, Family()).values()))
    runtime = Runtime(settings, log, bus, connection, server, begin=begin)
    services = [Host(runtime, make_shims(runtime, settings.shims), serves=False), Controller(runtime, answers=False)]
    for service in services:
        await service.start()
    return Leaf(server, bus, [group.create_task(service.run()) for service in services])


async def _line() -> str:
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    gc.set_threshold(100_000, 50, 100)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())

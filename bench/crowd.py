"""Many clusters in one process: a tier's real services, each over a log in memory and as a client of its
parent's server. `python -m bench.crowd` starts those that a line on stdin names, and ends with stdin.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog

from bench import raw
from bus.client import Bus
from bus.event import Event
from services.controller.controller import Controller
from services.shims.host import Host
from services.shims.shims import make_shims
from services.tier.runtime import Runtime, Signal
from services.tier.settings import TierSettings
from store.memory import MemoryLog

#: Clusters that start at the same time.
AT_ONCE = 50
#: Seconds within which each has its connection: thousands come on few cores.
JOINING = 120.0


@asynccontextmanager
async def crowd(places: Iterable[tuple[str, str]], **settings: Any) -> AsyncIterator[int]:
    """Clusters in a process of their own: (path, client URL of the parent's server) each. Yields its pid when
    all have started; their parents learn of them a little later."""
    async with raw.process("-m", "bench.crowd", asked={"places": list(places), "settings": settings}) as pid:
        yield pid


async def main() -> None:
    """Runs what stdin names."""
    asked = json.loads(await _line())
    with TemporaryDirectory(prefix="ote-crowd-") as folder:
        async with AsyncExitStack() as stack:
            turns = asyncio.Semaphore(AT_ONCE)
            group = await stack.enter_async_context(asyncio.TaskGroup())

            async def start(path: str, url: str) -> list[asyncio.Task[None]]:
                async with turns:
                    return await _start(group, Path(folder), path, url, asked["settings"])

            started = await asyncio.gather(*(start(path, url) for path, url in asked["places"]))
            print("ready", flush=True)
            await _line()
            for task in (task for tasks in started for task in tasks):
                task.cancel()


async def _start(
    group: asyncio.TaskGroup, folder: Path, path: str, url: str, more: Mapping[str, Any]
) -> list[asyncio.Task[None]]:
    settings = TierSettings(path=path, state=folder, **more)
    log: MemoryLog[Event] = MemoryLog(path)
    connection: Signal[bool] = Signal()
    bus = await Bus.connect(url, name=f"ote {path}", on_state=connection.emit, patience=JOINING)
    runtime = Runtime(settings, log, bus, connection)
    services = [Host(runtime, make_shims(runtime, settings.shims), serves=False), Controller(runtime, answers=False)]
    for service in services:
        await service.start()
    return [group.create_task(service.run()) for service in services]


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

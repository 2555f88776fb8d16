"""One command to many clusters, and what many clusters cost their parent."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import raw
from bench.command import PAYLOAD, request
from bench.crowd import crowd
from bench.harness import Chain, Result, chain, child, less, rounds
from services.controller.controller import Controller

REGIONS, LEAVES = 10, 300
COMMANDS = 5
SIZES = (100, 1_000)
#: What takes minutes.
MANY = 5_000
#: Seconds of an idle crowd, and how often its clusters beat and ask then: the crowd shares the machine.
IDLE, BEAT, ASK = 30.0, 15.0, 30.0
JOINED = 900.0

#: One connection for each (server, place): it answers what comes on one subject.
REPLIERS = """
import asyncio, json, sys, nats
async def main():
    asked = json.loads(sys.stdin.readline())
    async def answer(message): await message.respond(message.data)
    connections = [await nats.connect(url) for url in asked["urls"]]
    for connection in connections:
        await connection.subscribe(asked["subject"], cb=answer)
        await connection.flush()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    for connection in connections: await connection.close()
try:
    import uvloop
    uvloop.run(main())
except ImportError:
    asyncio.run(main())
"""


async def fan_out() -> list[Result]:
    """One command to 300 clusters below 10 regions until the root has recorded all results, against one
    message and 300 answers over the same links."""
    async with _regions() as (tree, urls):
        places = [(f"root.r{n % REGIONS}.c{n}", urls[n % REGIONS]) for n in range(LEAVES)]
        async with (
            crowd(places),
            repliers([url for _, url in places], "bench.many"),
            raw.client(tree.urls[0]) as connection,
        ):
            await _online(tree.controller, LEAVES)
            counter = iter(range(10**9))

            async def ours() -> list[float]:
                return [await _to_all(tree, next(counter)) for _ in range(COMMANDS)]

            async def theirs() -> list[float]:
                return [await _gather(connection, "bench.many") for _ in range(COMMANDS)]

            await ours()
            await theirs()
            mine, limit = await rounds([ours, theirs])
    name = f"one command to {LEAVES} clusters below {REGIONS} regions, all results recorded"
    return [less(name, _medians(mine), _medians(limit), "ms", 2.5)]


async def _to_all(tree: Chain, number: int) -> float:
    asked = request("root.>", number)
    begin = time.perf_counter()
    answer = await tree.controller.commands.submit(asked)
    await tree.runtime.log.flush()
    took = time.perf_counter() - begin
    recorded = await tree.runtime.log.read(lambda reader: reader.summary(answer["id"]))
    if recorded != {"succeeded": LEAVES}:
        raise RuntimeError(f"not all clusters succeeded: {recorded}")
    return took


async def _gather(connection: raw.Client, subject: str) -> float:
    inbox = connection.new_inbox()
    heard = await connection.subscribe(inbox)
    await connection.flush()
    begin = time.perf_counter()
    await connection.publish(subject, PAYLOAD, reply=inbox)
    for _ in range(LEAVES):
        await heard.next_msg(timeout=10)
    took = time.perf_counter() - begin
    await heard.unsubscribe()
    return took


@asynccontextmanager
async def _regions() -> AsyncIterator[tuple[Chain, list[str]]]:
    """A root here and real regions below it: the client URLs of their servers."""
    async with AsyncExitStack() as stack:
        tree = await stack.enter_async_context(chain(0))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="ote-bench-")))
        regions = (child(f"root.r{n}", folder / f"r{n}", tree.leaf, shims=False) for n in range(REGIONS))
        yield tree, [(await stack.enter_async_context(region))["nats"] for region in regions]


@asynccontextmanager
async def repliers(urls: Sequence[str], subject: str) -> AsyncIterator[None]:
    """Plain nats-py connections in a process of their own, each of which answers on the subject."""
    async with raw.process("-c", REPLIERS, asked={"urls": list(urls), "subject": subject}):
        yield


async def _online(controller: Controller, count: int) -> None:
    """Returns when the tier can command so many clusters."""
    async with asyncio.timeout(JOINED):
        while _there(controller) < count:
            await asyncio.sleep(0.02)


def _there(controller: Controller) -> int:
    snapshot = controller.registry.snapshot
    return sum(bool(row.announced and row.shims) and row.state == "online" for row in snapshot.rows.values())


def _medians(values: list[list[float]]) -> list[float]:
    return [sorted(each)[len(each) // 2] * 1000 for each in values]


# What a cluster costs its parent -------------------------------------------------------------------


async def crowds(sizes: Sequence[int] = SIZES) -> list[Result]:
    """Clusters at one parent, of which there are more and more: what each costs when thousands are there, against
    what each costs when 100 are."""
    found = [await _crowd(size) for size in sizes]
    few = found[0]
    out: list[Result] = []
    for size, many in zip(sizes[1:], found[1:], strict=True):
        for name, unit in _COSTS.items():
            case = f"{name}, {size:,} clusters at one parent (raw: with {sizes[0]})"
            out.append(less(case, [many[name]], [few[name]], unit, 1.5))
    return out


_COSTS = {
    "join storm, CPU of the parent for each cluster": "ms",
    f"idle (a beat in {BEAT:.0f} s), CPU of the parent for each cluster": "us/s",
    "memory of the parent for each cluster": "KiB",
}


async def _crowd(size: int) -> dict[str, float]:
    more = {"heartbeat": BEAT, "sync_interval": ASK}
    async with chain(0, **more) as tree:
        used, held = cpu(os.getpid()), memory(os.getpid())
        begin = time.monotonic()
        async with crowd([(f"root.c{n}", tree.urls[0]) for n in range(size)], **more):
            await _online(tree.controller, size)
            joined, took = cpu(os.getpid()) - used, time.monotonic() - begin
            await asyncio.sleep(ASK)
            used, grown = cpu(os.getpid()), memory(os.getpid()) - held
            await asyncio.sleep(IDLE)
            idle = (cpu(os.getpid()) - used) / IDLE
            if (still := _there(tree.controller)) < size:
                raise RuntimeError(f"only {still} of {size} clusters are still online")
    # Those who had come were idle while the others came: on average for half of the time that a small machine needs
    # to start so many.
    joined -= idle * took / 2
    return dict(zip(_COSTS, (joined / size * 1e3, idle / size * 1e6, grown / size / 1024), strict=True))


def cpu(pid: int) -> float:
    """Seconds of processor time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

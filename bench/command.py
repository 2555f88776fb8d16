"""Durable commands: latency from the root's tier to a leaf's and back, and how many a second.

Latency is measured from the call that submits in the root's tier to the moment at which it knows the
leaf's final; the raw limit is a nats-py request over the same links plus two group commits (DESIGN 6.6).
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import raw
from bench.harness import Chain, Result, chain, less, more, percentile, rounds
from bus.event import new_id
from bus.messages import SubmitRequest

#: Commands in one round of the latency case, and of the throughput case.
FEW, MANY = 300, 4_000
IN_FLIGHT = 128
PAYLOAD = b"x" * 300
EPOCH = f"{1:08x}.{0:016x}"


def request(target: str, number: int) -> SubmitRequest:
    """A small manifest, another one each time."""
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"bench-{number % 200}"},
        "data": {"number": str(number)},
    }
    return SubmitRequest.model_validate(
        {"to": target, "do": {"verb": "apply", "args": {"manifest": manifest}}, "wait": 30}
    )


async def one(tree: Chain, number: int) -> float:
    """Seconds for one command, checked."""
    asked = request(tree.paths[-1], number)
    begin = time.perf_counter()
    answer = await tree.controller.commands.submit(asked)
    took = time.perf_counter() - begin
    if answer["summary"] != {"succeeded": 1}:
        raise RuntimeError(f"a command did not succeed: {answer}")
    return took


async def latency(depths: tuple[int, ...] = (1, 2, 3)) -> list[Result]:
    """p50 and p99 at each depth."""
    out = []
    for depth in depths:
        out += await _latency(depth)
    return out


async def _latency(depth: int) -> list[Result]:
    async with (
        chain(depth) as tree,
        raw.echo(tree.urls[-1], "bench.echo"),
        raw.client(tree.urls[0]) as connection,
    ):
        await raw.ready(connection, "bench.echo")
        counter = iter(range(10**9))
        for _ in range(50):
            await one(tree, next(counter))

        async def ours() -> list[float]:
            return [await one(tree, next(counter)) for _ in range(FEW)]

        with TemporaryDirectory(prefix="ote-bench-") as folder:
            disk = raw.Disk(Path(folder) / "raw.db")

            async def theirs() -> list[float]:
                return [await _raw_command(connection, disk, next(counter)) for _ in range(FEW)]

            mine, limit = await rounds([ours, theirs])
            disk.close()
    name = f"durable command, {depth} leaf hop{'s' if depth > 1 else ''}"
    return [
        less(f"{name}, p50", _ms(mine, 0.5), _ms(limit, 0.5), "ms", 1.5),
        less(f"{name}, p99", _ms(mine, 0.99), _ms(limit, 0.99), "ms", 1.5),
    ]


async def _raw_command(connection: raw.Client, disk: raw.Disk, number: int) -> float:
    begin = time.perf_counter()
    disk.commit([_raw_row(2 * number)])
    await connection.request("bench.echo", PAYLOAD, timeout=5)
    disk.commit([_raw_row(2 * number + 1)])
    return time.perf_counter() - begin


def _raw_row(number: int) -> raw.Row:
    """A row as the log's, without the work of making an event."""
    time = "2026-01-01T00:00:00.000000Z"
    return new_id(), "root", EPOCH, number, "t" * 24, "s" * 24, time, None, None, None, PAYLOAD, b"c" * 16, time


def _ms(values: list[list[float]], part: float) -> list[float]:
    return [percentile(each, part) * 1000 for each in values]


async def throughput(depth: int = 3) -> list[Result]:
    """Commands a second with 128 in flight."""
    async with (
        chain(depth) as tree,
        raw.echo(tree.urls[-1], "bench.echo"),
        raw.client(tree.urls[0]) as connection,
    ):
        await raw.ready(connection, "bench.echo")
        counter = iter(range(10**9))

        async def ours() -> list[float]:
            return [await rate(MANY, lambda: one(tree, next(counter)))]

        async def theirs() -> list[float]:
            return [await rate(MANY * 4, lambda: connection.request("bench.echo", PAYLOAD, timeout=30))]

        await ours()
        mine, limit = await rounds([ours, theirs])
    name = f"durable commands, {IN_FLIGHT} in flight, {depth} leaf hops"
    return [more(name, [each[0] for each in mine], [each[0] for each in limit], "commands/s", 0.3)]


async def rate(count: int, work: object) -> float:
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            await work()  # type: ignore[operator]

    begin = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    return count / (time.perf_counter() - begin)

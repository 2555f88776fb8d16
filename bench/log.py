"""The log: appends of many writers, and catching up after an outage, against plain sqlite3."""

from __future__ import annotations

import asyncio
import shutil
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import raw
from bench.harness import Result, chain, child, more, rounds
from bus.event import Draft, Event, new_id
from bus.subjects import command as command_subject
from bus.subjects import event as event_subject
from bus.types import RECEIVED, SUCCEEDED
from services.controller.delivery.submission import Chunk, Order, Target, submit
from store.api import Stream, Tx
from store.sql import SqlLog, open_log

WRITERS = 64
APPENDS = 20_000
BACKLOG = 100_000
REPLAYED = 20_000
EPOCH = f"{1:08x}.{0:016x}"
ROUNDS = 3
SOURCE = "root.east.site1"
CHILD = "root.t1"


def draft(number: int) -> Draft:
    """An event of about 400 bytes, such as a site reports."""
    data = {"command": f"{number:036d}", "result": {"objects": [{"kind": "ConfigMap", "name": "x" * 60}]}}
    return Draft(type="ote.command.reported.v1", subject=f"ote.evt.command-reported.{SOURCE}", data=data)


async def append() -> list[Result]:
    """64 writers at once, synchronous FULL, against executemany with the batches that occurred."""
    with TemporaryDirectory(prefix="ote-bench-") as folder:
        sizes: list[int] = []
        async with open_log(Path(folder) / "log.db", source=SOURCE, decode=Event.decode) as log:
            log.on_commit(lambda events: sizes.append(len(events)))

            async def ours() -> list[float]:
                sizes.clear()
                return [await _append(log)]

            disk = raw.Disk(Path(folder) / "raw.db")
            made = iter(range(10**9))

            async def theirs() -> list[float]:
                batches = [[_row(next(made)) for _ in range(size)] for size in sizes]
                begin = time.perf_counter()
                raw.timed_commits(disk, batches)
                return [APPENDS / (time.perf_counter() - begin)]

            mine, limit = await rounds([ours, theirs])
            disk.close()
    name = f"append, {WRITERS} concurrent writers, FULL (median batch {sorted(sizes)[len(sizes) // 2]})"
    return [more(name, [each[0] for each in mine], [each[0] for each in limit], "events/s", 0.5)]


async def _append(log: SqlLog[Event]) -> float:
    # As the rows of the raw limit, they are there before the clock runs.
    left = iter([draft(number) for number in range(APPENDS)])

    async def writer() -> None:
        for each in left:
            await log.write(lambda tx, each=each: tx.append(each))  # type: ignore[misc]

    begin = time.perf_counter()
    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    return APPENDS / (time.perf_counter() - begin)


def _row(number: int) -> raw.Row:
    return raw.row(draft(number).seal(SOURCE, "1", number + 1))


async def replay() -> list[Result]:
    """The whole log folded into a projection anew, against select and msgpack decode."""
    with TemporaryDirectory(prefix="ote-bench-") as folder:
        file = Path(folder) / "log.db"
        async with open_log(file, source="root", decode=Event.decode) as log:
            for first in range(0, REPLAYED, 500):
                await log.write(partial(_commands, first=first, count=500))
            await log.flush()
            events = await log.read(lambda reader: reader.last_row())

            async def ours() -> list[float]:
                begin = time.perf_counter()
                await log.rebuild("commands")
                return [events / (time.perf_counter() - begin)]

            async def theirs() -> list[float]:
                begin = time.perf_counter()
                raw.read_all(file)
                return [events / (time.perf_counter() - begin)]

            mine, limit = await rounds([ours, theirs])
    name = f"replay of {events:,} events into the projection of commands"
    return [more(name, [each[0] for each in mine], [each[0] for each in limit], "events/s", 0.4)]


def _commands(tx: Tx[Event], first: int, count: int) -> None:
    """Commands as a tier above their target holds them: each with its `received` and its final."""
    said = []
    for number in range(first, first + count):
        order = Order(new_id(), SOURCE, {"verb": "apply", "args": {"manifest": {"kind": "ConfigMap", "n": number}}})
        (event,) = submit(tx, order, [Chunk(command_subject(SOURCE), [Target(SOURCE)])], 1_000_000)
        for kind, more_data in ((RECEIVED, {"origin": "root", "number": number + 1}), (SUCCEEDED, {"result": {}})):
            draft = Draft(kind, event_subject(kind, SOURCE), {"command": order.id, **more_data}, cause=event.id)
            said.append(draft.seal(SOURCE, EPOCH, 2 * number + 1 + (kind == SUCCEEDED)))
    tx.record(said)


async def catch_up() -> list[Result]:
    """100,000 events that a child recorded while it was cut off, until its parent holds them."""
    mine, limit = [], []
    with TemporaryDirectory(prefix="ote-bench-") as folder:
        epoch = await _backlog(Path(folder) / "child")
        for number in range(ROUNDS):
            state = Path(folder) / f"child{number}"
            shutil.copytree(Path(folder) / "child", state)
            mine.append(await _catch_up(state, Stream(CHILD, epoch)))
            limit.append(_insert())
            shutil.rmtree(state)
    return [more(f"catch-up, {BACKLOG:,} events, child to parent", mine, limit, "events/s", 0.25)]


async def _backlog(state: Path) -> str:
    """The log of a child that was cut off."""
    state.mkdir()
    async with open_log(state / "log.db", source=CHILD, decode=Event.decode) as log:
        for first in range(0, BACKLOG, 1000):
            await log.write(partial(_append_many, first=first, count=1000))
        return log.epoch


def _append_many(tx: Tx[Event], first: int, count: int) -> None:
    for number in range(first, first + count):
        tx.append(draft(number))


async def _catch_up(state: Path, stream: Stream) -> float:
    """From the first events that the parent holds to the last."""
    async with chain(0) as tree:

        async def holds(count: int, pause: float) -> tuple[int, float]:
            while (held := await tree.runtime.log.read(lambda reader: reader.streams(CHILD).get(stream, 0))) < count:
                await asyncio.sleep(pause)
            return held, time.perf_counter()

        async with child(CHILD, state, tree.leaf, shims=False):
            first, begin = await holds(1, 0.005)
            last, end = await holds(BACKLOG, 0.05)
            return (last - first) / (end - begin)


def _insert() -> float:
    with TemporaryDirectory(prefix="ote-bench-") as folder:
        rows = [_row(number) for number in range(BACKLOG)]
        disk = raw.Disk(Path(folder) / "raw.db")
        begin = time.perf_counter()
        raw.timed_commits(disk, [rows[start : start + 1000] for start in range(0, BACKLOG, 1000)])
        took = time.perf_counter() - begin
        disk.close()
    return BACKLOG / took

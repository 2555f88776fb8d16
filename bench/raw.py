"""The raw limits: plain nats-py over the same links, plain sqlite3 on the same disk."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import nats
from msgpack import unpackb
from nats.aio.client import Client
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from bus.event import Event, now
from store.sql.schema import EVENTS

ECHO = """
import asyncio, sys, nats
async def main():
    nc = await nats.connect(sys.argv[1])
    async def echo(message): await message.respond(message.data)
    await nc.subscribe(sys.argv[2], cb=echo)
    await nc.flush(); await nc.flush()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await nc.close()
try:
    import uvloop
    uvloop.run(main())
except ImportError:
    asyncio.run(main())
"""

Row = tuple[Any, ...]
COLUMNS = (
    "id", "source", "epoch", "seq", "type", "subject", "time", "cause", "actor", "expiresat", "body", "checksum",
    "stored_at",
)  # fmt: skip


def row(event: Event) -> Row:
    """The row of an event in a log."""
    return (*(getattr(event, name) for name in COLUMNS[:-1]), now())


@asynccontextmanager
async def echo(url: str, subject: str) -> AsyncIterator[None]:
    """A process that answers on the subject, at the server with this URL."""
    async with process("-c", ECHO, url, subject):
        yield


@asynccontextmanager
async def process(*words: str, asked: object = None) -> AsyncIterator[int]:
    """A process of Python that says "ready" and ends with its stdin, of which `asked` is the first line: its pid.
    RuntimeError if it does not get ready."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert started.stdin is not None and started.stdout is not None
    try:
        if asked is not None:
            started.stdin.write(json.dumps(asked).encode() + b"\n")
        if await started.stdout.readline() != b"ready\n":
            raise RuntimeError(f"a process of the benchmark did not start: {words[:2]}")
        yield started.pid
    finally:
        started.stdin.close()
        await started.wait()


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    """Plain nats-py."""
    connection = await nats.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def ready(connection: Client, subject: str) -> None:
    """Returns when the echo is heard over all hops."""
    while True:
        try:
            await connection.request(subject, b"", timeout=1)
            return
        except nats.errors.Error:
            await asyncio.sleep(0.02)


class Disk:
    """The log's own table of events and nothing else, written by sqlite3 alone; WAL, synchronous FULL."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute(str(CreateTable(EVENTS).compile(dialect=sqlite.dialect())))
        marks = ", ".join("?" * len(COLUMNS))
        self._insert = f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES ({marks})"

    def commit(self, rows: Iterable[Row]) -> None:
        """One group commit."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(self._insert, rows)
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Ends."""
        self._connection.close()


def read_all(file: Path) -> int:
    """Selects and decodes the bodies of all events; how many there are."""
    with closing(sqlite3.connect(file)) as connection:
        return sum(1 for (body,) in connection.execute("SELECT body FROM events ORDER BY row") if unpackb(body))


def timed_commits(disk: Disk, batches: Sequence[Sequence[Row]]) -> list[float]:
    """Seconds that each batch took."""
    out = []
    for batch in batches:
        begin = time.perf_counter()
        disk.commit(batch)
        out.append(time.perf_counter() - begin)
    return out

"""The disk is full: who writes is told, nothing half-written is served, and it goes on when there is room."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from bus.event import Event
from store.errors import StoreError
from store.sql import SqlLog, open_log
from store.verify import verify
from tests.unit.store.samples import Source, sample


async def limit_pages(log: SqlLog[Event], more: int | None) -> None:
    """SQLite's own limit: past it, the writer gets the error that a full disk gives. The writer sets it itself: nobody
    else may use its connection."""
    cursor = log._ledger.session.cursor

    def limit(_: object) -> None:
        cursor.execute("PRAGMA page_count")
        found = cursor.fetchone()
        assert found
        cursor.execute(f"PRAGMA max_page_count = {found[0] + more if more is not None else 2**30}")

    await log.write(limit)


async def make_room(log: SqlLog[Event]) -> None:
    """In the writer's own thread: while writes are kept no other gets through."""
    lift = partial(log._ledger.session.cursor.execute, f"PRAGMA max_page_count = {2**30}")
    await asyncio.get_running_loop().run_in_executor(log._writer._thread, lift)


async def test_what_is_kept_waits_in_order_and_nothing_else_goes_before_it(tmp_path: Path) -> None:
    async with open_log(tmp_path / "log.db", source="root", decode=Event.decode) as log:
        await log.write(lambda tx: tx.append(sample(0)))
        await limit_pages(log, 5)
        # Small ones would fit where a big one does not.
        drafts = [sample(n, actor="x" * (10_000 if n % 3 == 1 else 1)) for n in range(30)]
        kept = [log.write(lambda tx, d=d: tx.append(d), keep=True, lazy=n % 2 == 0) for n, d in enumerate(drafts)]
        with pytest.raises(StoreError, match="full"):
            await log.flush()
        done = [future for future in kept if future.done()]
        assert 0 < len(done) < 10
        assert done == kept[: len(done)]
        for _ in range(3):
            with pytest.raises(StoreError, match="full"):
                await log.write(lambda tx: tx.append(sample(99)))
            # Reads go on.
            assert await log.read(lambda r: r.last_row()) == 1 + len(done)
        kept.append(log.write(lambda tx: tx.append(sample(30)), keep=True, lazy=True))
        assert sum(future.done() for future in kept) == len(done)
        await make_room(log)
        events = await asyncio.gather(*kept)
        assert [event.seq for event in events] == list(range(2, 33))
        assert [event.data["n"] for event in events] == list(range(31))
        assert (await log.write(lambda tx: tx.append(sample(99)))).seq == 33


async def test_what_is_kept_is_given_up_when_the_log_is_closed(tmp_path: Path) -> None:
    file = tmp_path / "log.db"
    async with open_log(file, source="root", decode=Event.decode) as log:
        await limit_pages(log, 0)
        kept = [log.write(lambda tx, n=n: tx.append(sample(n, actor="x" * 10_000)), keep=True) for n in range(3)]
        with pytest.raises(StoreError, match="full"):
            await log.flush()
    for future in kept:
        with pytest.raises(StoreError, match="closed"):
            await future
    assert verify(file, Event.decode) == []


async def test_a_write_that_is_wrong_is_not_kept(tmp_path: Path) -> None:
    async with open_log(tmp_path / "log.db", source="root", decode=Event.decode) as log:
        draft = sample(1)
        await log.write(lambda tx: tx.append(draft))
        wrong = log.write(lambda tx: tx.append(draft), keep=True)
        right = log.write(lambda tx: tx.append(sample(2)), keep=True)
        with pytest.raises(StoreError):
            await wrong
        assert (await right).seq == 2


async def test_a_full_disk_fails_writes_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "log.db"
    async with open_log(file, source="root", decode=Event.decode) as log:
        for n in range(50):
            await log.write(lambda tx, n=n: tx.append(sample(n)))
        told: list[Event] = []
        log.on_commit(told.extend)
        await limit_pages(log, 5)
        big = [sample(n, actor="x" * 10_000) for n in range(30)]
        outcomes = await asyncio.gather(
            *(log.write(lambda tx, d=draft: tx.append(d)) for draft in big), return_exceptions=True
        )
        failed = [each for each in outcomes if isinstance(each, BaseException)]
        done = [each for each in outcomes if not isinstance(each, BaseException)]
        assert failed
        assert all(isinstance(each, StoreError) and "full" in str(each) for each in failed)
        with pytest.raises(StoreError, match="full"):
            await log.write(lambda tx: tx.record(Source("root.a").samples(2000)))
        assert await log.read(lambda r: r.last_row()) == 50 + len(done)
        await limit_pages(log, None)
        again = await log.write(lambda tx: tx.append(sample(99)))
        assert again.seq == 50 + len(done) + 1
        assert told == [*done, again]
    assert verify(file, Event.decode) == []

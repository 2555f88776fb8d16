"""The disk is full: who writes is told, nothing half-written is served, and it goes on when there is room."""

from __future__ import annotations

import asyncio
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

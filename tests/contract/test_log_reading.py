"""How every log is read: filtered, followed, and heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from bus.event import Draft, Event, new_id
from store.api import Log, Reader, Tx
from tests.unit.store.samples import Source, sample, submitted


def append(*drafts: Draft) -> Callable[[Tx[Event]], list[Event]]:
    return lambda tx: [tx.append(draft) for draft in drafts]


def record(*events: Event) -> Callable[[Tx[Event]], object]:
    return lambda tx: tx.record(events)


async def rows(log: Log[Event]) -> list[Event]:
    return [stored.event for stored in await log.read(lambda r: r.events(limit=1000))]


class TestEvents:
    @pytest.fixture
    async def events(self, log: Log[Event]) -> list[Event]:
        def draft(type: str, subject: str, time: str) -> Draft:
            return Draft(type=type, subject=subject, data={}, time=time)

        a, ab, west = Source("root.east.a"), Source("root.east.a.b"), Source("root")
        events = [
            a.seal(draft("t.one", "ote.cmd.root.east", "2026-01-01T00:00:00.000000Z")),
            ab.seal(draft("t.two", "ote.cmd.root.east.a", "2026-01-02T00:00:00.000000Z")),
            west.seal(draft("t.one", "ote.evt.x_5fy.root", "2026-01-03T00:00:00.000000Z")),
            a.seal(draft("t.three", "ote.CMD.root.east.a", "2026-01-04T00:00:00.000000Z")),
        ]
        await log.write(record(*events))
        return events

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({}, [0, 1, 2, 3]),
            ({"after": 1, "limit": 2}, [1, 2]),
            ({"latest": True, "limit": 2}, [2, 3]),
            ({"latest": True, "limit": 2, "before": 3}, [0, 1]),
            ({"latest": True, "before": 3, "after": 1}, [1]),
            ({"before": 9, "after": 2}, [2, 3]),
            ({"before": 1}, []),
            ({"latest": True, "limit": 1, "types": ["t.one"]}, [2]),
            ({"latest": True, "limit": 1, "subject": "ote.cmd.>"}, [1]),
            ({"types": ["t.one"]}, [0, 2]),
            ({"types": ["t.one", "t.two"], "limit": 2}, [0, 1]),
            ({"source": "root.east.a"}, [0, 3]),
            ({"source": "under:root.east.a"}, [0, 1, 3]),
            ({"source": "under:root.east"}, [0, 1, 3]),
            ({"subject": "ote.cmd.root.east"}, [0]),
            ({"subject": "ote.cmd.root.*"}, [0]),
            ({"subject": "ote.cmd.>"}, [0, 1]),
            ({"subject": "ote.*.root.east.a"}, [1, 3]),
            ({"subject": "ote.evt.x_5fy.>"}, [2]),
            ({"subject": "ote.cmd.>", "limit": 1, "after": 1}, [1]),
            ({"since": "2026-01-02T00:00:00.000000Z"}, [1, 2, 3]),
            ({"types": ["t.one"], "source": "root", "since": "2026-01-02"}, [2]),
            ({"until": "2026-01-02T00:00:00.000000Z"}, [0, 1]),
            ({"until": "2026-01-03T12:00:00.000000Z", "latest": True, "limit": 2}, [1, 2]),
            ({"since": "2026-01-02", "until": "2026-01-03T00:00:00.000000Z"}, [1, 2]),
            ({"source": "nobody"}, []),
        ],
    )
    async def test_are_filtered(
        self, log: Log[Event], events: list[Event], filters: dict[str, object], expected: list[int]
    ) -> None:
        def query(r: Reader[Event]) -> list[Event]:
            return [stored.event for stored in r.events(**filters)]  # type: ignore[arg-type]

        assert await log.read(query) == [events[n] for n in expected]
        assert await log.write(query) == [events[n] for n in expected]

    async def test_by_id(self, log: Log[Event], events: list[Event]) -> None:
        assert await log.read(lambda r: r.event(events[1].id)) == events[1]
        assert await log.read(lambda r: r.event(new_id())) is None
        assert await log.read(lambda r: r.last_row()) == 4


class TestFollow:
    async def test_gives_what_is_there_and_what_comes_in_order(self, log: Log[Event]) -> None:
        await log.write(append(sample(0), sample(1)))
        seen: list[int] = []

        async def follow() -> None:
            async for batch in log.follow(after=1):
                assert batch
                seen.extend(stored.event.data["n"] for stored in batch)
                if len(seen) >= 40:
                    return

        task = asyncio.create_task(follow())
        for n in range(2, 41, 3):
            await log.write(append(*(sample(m) for m in range(n, n + 3))))
        await asyncio.wait_for(task, 5)
        assert seen[:40] == list(range(1, 41))

    async def test_may_want_some_types_only(self, log: Log[Event]) -> None:
        followed = log.follow(types=["ote.command.submitted.v1"])
        first = asyncio.ensure_future(anext(followed))
        for n in range(5):
            await log.write(append(sample(n)))
        (event,) = await log.write(append(submitted("c", [])))
        batch = await asyncio.wait_for(first, 5)
        assert [(stored.row, stored.event) for stored in batch] == [(6, event)]

    async def test_several_follow_independently(self, log: Log[Event]) -> None:
        early, late = log.follow(), log.follow(after=3)
        await log.write(append(*(sample(n) for n in range(3))))
        assert len(await anext(early)) == 3
        tasks = [asyncio.ensure_future(anext(each)) for each in (early, late)]
        await log.write(append(sample(3)))
        assert [[s.row for s in await asyncio.wait_for(task, 5)] for task in tasks] == [[4], [4]]


class TestOnCommit:
    async def test_tells_this_tiers_own_events_in_order(self, log: Log[Event]) -> None:
        told: list[Event] = []
        log.on_commit(told.extend)
        foreign = Source("root.east.a").samples(1)
        writes = [log.write(append(sample(n))) for n in range(20)]
        await log.write(record(*foreign))
        await asyncio.gather(*writes)
        assert [event.data["n"] for event in told] == list(range(20))

    async def test_tells_nothing_of_what_failed(self, log: Log[Event]) -> None:
        told: list[Event] = []
        log.on_commit(told.extend)

        def bad(tx: Tx[Event]) -> None:
            tx.append(sample(1))
            raise LookupError

        with pytest.raises(LookupError):
            await log.write(bad)
        assert told == []

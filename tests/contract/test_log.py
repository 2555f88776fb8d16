"""What every log must do, whatever keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from bus.event import Draft, Event
from store.api import Cursor, Log, Mail, Mailbox, Stream, Tx
from tests.unit.store.samples import EPOCH, LATER, Source, cancel, sample, submitted


def append(*drafts: Draft) -> Callable[[Tx[Event]], list[Event]]:
    return lambda tx: [tx.append(draft) for draft in drafts]


def record(*events: Event) -> Callable[[Tx[Event]], object]:
    return lambda tx: tx.record(events)


async def rows(log: Log[Event]) -> list[Event]:
    return [stored.event for stored in await log.read(lambda r: r.events(limit=1000))]


class TestAppend:
    async def test_gives_shared_events_a_dense_place_and_local_ones_none(self, log: Log[Event]) -> None:
        events = await log.write(append(sample(1), sample(2, shared=False), sample(3)))
        assert [event.seq for event in events] == [1, None, 2]
        assert {(event.source, event.epoch) for event in events} == {("root.east", log.epoch)}
        assert await rows(log) == events

    async def test_of_many_at_once_is_dense_and_in_the_order_of_calls(self, log: Log[Event]) -> None:
        writes = [log.write(append(sample(n))) for n in range(200)]
        events = [event for write in writes for event in await write]
        assert [event.seq for event in events] == list(range(1, 201))
        assert [event.data["n"] for event in await rows(log)] == list(range(200))

    async def test_an_id_twice_is_refused(self, log: Log[Event]) -> None:
        draft = sample(1)
        await log.write(append(draft))
        with pytest.raises(Exception, match="id"):
            await log.write(append(draft))
        assert len(await rows(log)) == 1


class TestWrite:
    async def test_an_op_that_raises_leaves_nothing_and_harms_nobody(self, log: Log[Event]) -> None:
        def bad(tx: Tx[Event]) -> None:
            tx.append(sample(99))
            tx.number("root.east.a")
            tx.move_cursor("root", Cursor(EPOCH, 7))
            raise LookupError("no")

        writes = [log.write(append(sample(0))), log.write(bad), log.write(append(sample(1)))]
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert isinstance(results[1], LookupError)
        assert [event.data["n"] for event in await rows(log)] == [0, 1]
        assert [event.seq for event in await rows(log)] == [1, 2]
        assert await log.read(lambda r: r.cursors()) == {}
        assert await log.write(lambda tx: tx.number("root.east.a")) == 1

    async def test_an_op_that_only_refuses_is_told_so(self, log: Log[Event]) -> None:
        def refuse(tx: Tx[Event]) -> None:
            raise LookupError("refused")

        first, second = log.write(append(sample(1))), log.write(refuse)
        with pytest.raises(LookupError, match="refused"):
            await second
        assert len(await first) == 1

    async def test_lazily_is_committed_in_the_end(self, log: Log[Event]) -> None:
        lazy = log.write(append(sample(1)), lazy=True)
        eager = log.write(append(sample(2)))
        assert [event.seq for event in await lazy + await eager] == [1, 2]
        assert len(await log.write(append(sample(3)), lazy=True)) == 1

    async def test_flush_waits_for_all_before(self, log: Log[Event]) -> None:
        lazy = log.write(append(sample(1)), lazy=True)
        await log.flush()
        assert len(await rows(log)) == 1
        assert len(await lazy) == 1

    async def test_the_time_of_each_commit_is_counted(self, log: Log[Event]) -> None:
        before, seconds = log.commits.within()[-1][1], log.commits.total
        for n in range(3):
            await log.write(append(sample(n)))
        await asyncio.gather(*(log.write(append(sample(n))) for n in range(50)))
        counts = [count for _, count in log.commits.within()]
        assert before + 4 <= counts[-1] <= before + 53
        assert counts == sorted(counts) and log.commits.total > seconds

    async def test_a_transaction_reads_what_it_did(self, log: Log[Event]) -> None:
        source = Source("root.east.a")
        events = source.samples(2)

        def op(tx: Tx[Event]) -> None:
            own = tx.append(sample(1))
            tx.record(events)
            tx.move_cursor("root", Cursor(EPOCH, 3))
            tx.confirm("root", {Stream("root.east", log.epoch): 1})
            tx.move_place("worker", 2)
            number = tx.number("root.east.a")
            tx.append(submitted("c1", [("root.east.a", number)]))
            assert tx.event(own.id) == own
            assert tx.last_row() == 4
            assert [stored.row for stored in tx.events()] == [1, 2, 3, 4]
            assert tx.streams("root.east.a") == {Stream("root.east.a", EPOCH): 2}
            assert tx.stream(Stream("root.east.a", EPOCH), after=0, limit=5) == events
            assert tx.cursors() == {"root": Cursor(EPOCH, 3)}
            assert tx.confirmed("root") == {Stream("root.east", log.epoch): 1}
            assert tx.place("worker") == 2
            assert tx.mailboxes("root.east") == {Mailbox("root.east", log.epoch, "root.east.a"): 1}
            assert [t.command for t in tx.targets("c1")] == ["c1"]
            assert tx.command("c1") is not None

        await log.write(op)


class TestRecord:
    async def test_keeps_the_exact_bytes(self, log: Log[Event]) -> None:
        event = Source("root.east.a").command("root.east.a.b", key="k")
        done = await log.write(lambda tx: tx.record([event]))
        assert (done.new, done.doubles, done.forks) == ([event], 0, [])
        found = await log.read(lambda r: r.event(event.id))
        assert found is not None
        assert (found, found.checksum) == (event, event.checksum)

    async def test_a_second_copy_is_a_double(self, log: Log[Event]) -> None:
        events = Source("root.east.a").samples(3)
        await log.write(record(events[1]))
        done = await log.write(lambda tx: tx.record([*events, events[2]]))
        assert (done.new, done.doubles, done.forks) == ([events[0], events[2]], 2, [])
        assert len(await rows(log)) == 3

    async def test_another_event_at_a_taken_place_is_a_fork_once(self, log: Log[Event]) -> None:
        one, other = Source("root.east.a").samples(1), Source("root.east.a").samples(1)
        await log.write(record(*one))
        done = await log.write(lambda tx: tx.record(other))
        assert (done.new, done.doubles, done.forks) == ([], 0, other)
        again = await log.write(lambda tx: tx.record(other))
        assert (again.new, again.doubles, again.forks) == ([], 1, [])
        assert await rows(log) == one

    async def test_mail_with_a_number_that_another_has_is_a_fork_and_stored(self, log: Log[Event]) -> None:
        one, copy = Source("root"), Source("root")
        mail = one.command("root.east.a")
        copy.samples(1)
        other = copy.command("root.east.a")
        await log.write(record(mail))
        done = await log.write(lambda tx: tx.record([other]))
        assert (done.new, done.forks) == ([other], [other])
        box = Mailbox("root", mail.epoch, "root.east.a")
        assert [each.event for each in await log.read(lambda r: r.mail(box, after=0, limit=9))] == [mail]
        assert (await log.write(lambda tx: tx.record([mail, other]))).doubles == 2

    async def test_forks_are_listed_by_source_from_the_begin_of_the_latest_life(self, log: Log[Event]) -> None:
        lives = [(Source("root.east.a", e).samples(2), Source("root.east.a", e).samples(2)) for e in (EPOCH, LATER)]
        await log.write(record(*(event for one, _ in lives for event in one)))
        await log.write(record(*(event for _, other in lives for event in reversed(other))))
        forks = [*lives[1][1], *lives[0][1]]
        assert await log.read(lambda r: r.quarantined("root.east.a", 9)) == forks
        assert await log.read(lambda r: r.quarantined("root.east.a", 3)) == forks[:3]
        assert await log.read(lambda r: r.quarantined("root.east.b", 9)) == []

    async def test_the_last_at_a_place_is_found_over_holes_in_its_own_life(self, log: Log[Event]) -> None:
        first, later = Source("root.east.a").samples(5), Source("root.east.a", LATER).samples(3)
        await log.write(record(first[1], first[4], later[2]))
        expected = {(EPOCH, 9): first[4], (EPOCH, 4): first[1], (EPOCH, 2): first[1], (EPOCH, 1): None}
        expected |= {(LATER, 3): later[2], (LATER, 2): None}
        for (epoch, seq), event in expected.items():
            assert await log.read(lambda r, e=epoch, n=seq: r.last_at(Stream("root.east.a", e), n)) == event

    async def test_forks_within_one_batch_are_seen(self, log: Log[Event]) -> None:
        one, other = Source("root.east.a").samples(2), Source("root.east.a").samples(2)
        done = await log.write(lambda tx: tx.record([*one, *other]))
        assert (done.new, done.forks) == (one, other)

    async def test_a_fork_in_a_stream_from_above_is_seen(self, log: Log[Event]) -> None:
        one, other = Source("root").samples(3), Source("root").samples(3)
        await log.write(record(one[2]))
        done = await log.write(lambda tx: tx.record([one[0], other[2], other[1], one[1]]))
        assert (done.new, done.forks) == ([one[0], other[1]], [other[2], one[1]])

    async def test_another_event_with_a_known_id_is_a_fork(self, log: Log[Event]) -> None:
        draft = sample(1)
        event = draft.seal("root.east.a", EPOCH, 1)
        twin = draft.seal("root.east.a", EPOCH, 2)
        await log.write(record(event))
        assert (await log.write(lambda tx: tx.record([twin]))).forks == [twin]

    async def test_an_unknown_event_of_this_very_life_is_a_fork(self, log: Log[Event]) -> None:
        own = await log.write(append(sample(1)))
        known = await log.write(lambda tx: tx.record(own))
        assert (known.doubles, known.forks) == (1, [])
        stranger = sample(2).seal("root.east", log.epoch, 2)
        assert (await log.write(lambda tx: tx.record([stranger]))).forks == [stranger]
        assert [event.seq for event in await log.write(append(sample(3)))] == [2]

    async def test_events_of_an_earlier_life_come_back(self, log: Log[Event]) -> None:
        earlier = Source("root.east", "00000000.00000000000000ee").samples(2)
        assert (await log.write(lambda tx: tx.record(earlier))).new == earlier
        held = await log.read(lambda r: r.streams("root.east"))
        assert held == {Stream("root.east", "00000000.00000000000000ee"): 2}


class TestStreams:
    async def test_are_held_up_to_the_first_hole(self, log: Log[Event]) -> None:
        events, stream = Source("root.east.a").samples(6), Stream("root.east.a", EPOCH)
        held = []
        for n in (1, 0, 5, 3, 2, 4):
            await log.write(record(events[n]))
            held.append((await log.read(lambda r: r.streams("root.east")))[stream])
        assert held == [0, 2, 2, 2, 4, 6]

    async def test_of_each_life_are_counted_apart(self, log: Log[Event]) -> None:
        await log.write(record(*Source("root.east.a").samples(2), *Source("root.east.a", LATER).samples(1)))
        held = await log.read(lambda r: r.streams("root.east"))
        assert held == {Stream("root.east.a", EPOCH): 2, Stream("root.east.a", LATER): 1}

    async def test_are_of_the_scope_and_of_nothing_like_it(self, log: Log[Event]) -> None:
        paths = ["root.east.a", "root.east.a.b", "root.east.ab", "root.east.a-b", "root.eastern", "root"]
        await log.write(record(*(event for path in paths for event in Source(path).samples(1))))
        assert {s.source for s in await log.read(lambda r: r.streams("root.east.a"))} == {
            "root.east.a",
            "root.east.a.b",
        }
        assert {s.source for s in await log.read(lambda r: r.streams("root"))} == set(paths[:4])

    async def test_are_read_from_a_place_up_to_the_first_hole(self, log: Log[Event]) -> None:
        events, stream = Source("root.east.a").samples(6), Stream("root.east.a", EPOCH)
        await log.write(record(*events[:3], events[4]))

        async def read(after: int, limit: int = 10) -> list[Event]:
            return await log.read(lambda r: r.stream(stream, after=after, limit=limit))

        assert await read(0) == events[:3]
        assert await read(1, limit=1) == events[1:2]
        assert await read(3) == []
        assert await read(4) == events[4:5]


class TestMailboxes:
    async def test_number_counts_for_each_target(self, log: Log[Event]) -> None:
        def op(tx: Tx[Event]) -> list[int]:
            numbers = [tx.number(path) for path in ("root.east.a", "root.east.b", "root.east.a")]
            tx.append(submitted("c", [("root.east.a", 1), ("root.east.b", 1), ("root.east.a", 2)]))
            return numbers

        assert await log.write(op) == [1, 1, 2]
        assert await log.write(lambda tx: (tx.number("root.east.a"), tx.append(sample(1)))[0]) == 3
        held = await log.read(lambda r: r.mailboxes("root.east"))
        assert held == {Mailbox("root.east", log.epoch, f"root.east.{x}"): n for x, n in (("a", 2), ("b", 1))}

    async def test_hold_what_is_addressed_at_or_below_this_tier(self, log: Log[Event]) -> None:
        event = Source("root").command("root.east", "root.east.a", "root.west", "root.eastern")
        await log.write(record(event))
        held = await log.read(lambda r: r.mailboxes("root"))
        assert held == {Mailbox("root", EPOCH, path): 1 for path in ("root.east", "root.east.a")}
        assert await log.read(lambda r: r.mailboxes("root.east.a")) == {Mailbox("root", EPOCH, "root.east.a"): 1}

    async def test_are_held_and_read_up_to_the_first_hole(self, log: Log[Event]) -> None:
        root, box = Source("root"), Mailbox("root", EPOCH, "root.east.a")
        events = [root.command("root.east.a") for _ in range(5)]

        async def state() -> tuple[int, list[Mail[Event]]]:
            return await log.read(lambda r: (r.mailboxes("root.east.a")[box], r.mail(box, after=0, limit=10)))

        await log.write(record(events[3], events[1]))
        assert await state() == (0, [])
        await log.write(record(events[0]))
        assert await state() == (2, [Mail(1, events[0], None), Mail(2, events[1], None)])
        await log.write(record(events[2]))
        assert (await state())[0] == 4
        assert await log.read(lambda r: r.mail(box, after=2, limit=1)) == [Mail(3, events[2], None)]

    async def test_a_cover_fills_a_number_and_the_latest_stands(self, log: Log[Event]) -> None:
        root, path, box = Source("root"), "root.east.a", Mailbox("root", EPOCH, "root.east.a")
        first = root.command(path, command="c1", key="k")
        second = root.command(path, command="c2", key="k", covers=[(path, 1, "c1")])
        third = root.command(path, command="c3", key="k", covers=[(path, 1, "c1"), (path, 2, "c2")])
        await log.write(record(third))
        assert await log.read(lambda r: r.mail(box, after=0, limit=9)) == [
            Mail(1, None, third),
            Mail(2, None, third),
            Mail(3, third, None),
        ]
        await log.write(record(second, first))
        assert await log.read(lambda r: r.mail(box, after=0, limit=9)) == [
            Mail(1, first, third),
            Mail(2, second, third),
            Mail(3, third, None),
        ]

    async def test_a_cancel_is_mail_and_covers(self, log: Log[Event]) -> None:
        def op(tx: Tx[Event]) -> tuple[Event, Event]:
            first = tx.append(submitted("c1", [("root.east.a", tx.number("root.east.a"))]))
            number = tx.number("root.east.a")
            return first, tx.append(cancel("c1", [("root.east.a", number)], [("root.east.a", 1, "c1")]))

        first, second = await log.write(op)
        box = Mailbox("root.east", log.epoch, "root.east.a")
        mail = await log.read(lambda r: r.mail(box, after=0, limit=9))
        assert mail == [Mail(1, first, second), Mail(2, second, None)]

    async def test_an_unknown_mailbox_is_empty(self, log: Log[Event]) -> None:
        assert await log.read(lambda r: r.mail(Mailbox("root", EPOCH, "root.east.x"), after=0, limit=5)) == []


class TestPositions:
    async def test_cursors_move(self, log: Log[Event]) -> None:
        await log.write(lambda tx: tx.move_cursor("root", Cursor(EPOCH, 4)))
        await log.write(
            lambda tx: (tx.move_cursor("root", Cursor(LATER, 1)), tx.move_cursor("root.east", Cursor(EPOCH, 2)))
        )
        expected = {"root": Cursor(LATER, 1), "root.east": Cursor(EPOCH, 2)}
        assert await log.read(lambda r: r.cursors()) == expected
        assert await log.write(lambda tx: tx.cursors()) == expected

    async def test_what_neighbours_hold_is_what_they_said_last(self, log: Log[Event]) -> None:
        one, two = Stream("root.east", EPOCH), Stream("root.east.a", EPOCH)
        await log.write(lambda tx: tx.confirm("root", {one: 5, two: 6}))
        await log.write(lambda tx: (tx.confirm("root", {one: 4}), tx.confirm("root.east.a", {two: 1})))
        assert await log.read(lambda r: r.confirmed("root")) == {one: 4, two: 6}
        assert await log.read(lambda r: r.confirmed("nobody")) == {}

    async def test_places_of_consumers(self, log: Log[Event]) -> None:
        assert await log.read(lambda r: r.place("worker")) == 0
        await log.write(lambda tx: tx.move_place("worker", 7))
        assert await log.read(lambda r: r.place("worker")) == 7

"""What leaves a log when it is compacted, what stays, and that what is gone counts as held."""

from __future__ import annotations

import pytest

from bus.event import Event
from store.api import Cursor, Log, Mailbox, Reader, Stream
from store.compaction import Compacted, Retention, compact
from tests.unit.store.samples import EPOCH, Source, cancel, cluster, report, sample, stored, submitted

ALL = Retention(older_than=0)
A, B = "root.east.a", "root.east.b"


async def record(log: Log[Event], *events: Event) -> None:
    await log.write(lambda tx: tx.record(events))


async def confirm(log: Log[Event], ancestor: str = "root") -> None:
    """The ancestor holds all that is here."""
    held = await log.read(lambda r: r.streams("root.east"))
    await log.write(lambda tx: tx.confirm(ancestor, held))


async def left(log: Log[Event]) -> list[Event]:
    return [each.event for each in await log.read(lambda r: r.events(limit=1000))]


async def filled(log: Log[Event]) -> None:
    """The last event always stays: one of which a test wants to know nothing."""
    await log.write(lambda tx: tx.append(sample(shared=False)))


def settled(root: Source, site: Source, command: str, **more: object) -> list[Event]:
    """A command to a site, and its whole life."""
    mail = root.command(site.path, command=command, **more)
    number = mail.to[0].number
    said = report("received", command, origin=root.path, number=number), report("succeeded", command, result={"n": 1})
    return [mail, *(site.seal(draft) for draft in said)]


class TestWhatStays:
    async def test_nothing_goes_that_an_ancestor_has_not_confirmed(self, log: Log[Event]) -> None:
        site = Source(A)
        await record(log, *site.samples(5))
        await filled(log)
        assert (await compact(log, ALL)).dropped == 0
        await log.write(lambda tx: tx.confirm("root", {Stream(A, EPOCH): 3}))
        assert (await compact(log, ALL)).dropped == 3
        await log.write(lambda tx: tx.confirm("root", {Stream(A, EPOCH): 0}))
        assert (await compact(log, ALL)).dropped == 0, "an ancestor that lost its log is told all that is left"

    async def test_nothing_goes_that_is_behind_a_hole(self, log: Log[Event]) -> None:
        events = Source(A).samples(6)
        await record(log, *events[:2], *events[3:])
        await log.write(lambda tx: tx.confirm("root", {Stream(A, EPOCH): 6}))
        await filled(log)
        assert (await compact(log, ALL)).dropped == 2

    async def test_an_open_command_stays_with_all_that_speaks_of_it(self, log: Log[Event]) -> None:
        root, a, b = Source("root"), Source(A), Source(B)
        await record(log, root.command(A, B, command="c1"), a.seal(report("succeeded", "c1")), b.seal(stored("c1")))
        await confirm(log)
        await filled(log)
        assert (await compact(log, ALL)).dropped == 0
        await record(log, b.seal(report("in-doubt", "c1")))
        await confirm(log)
        await compact(log, ALL)
        assert len([e for e in await left(log) if "ote.command" in e.type]) == 4, "it may be tried again"
        await record(log, b.seal(report("succeeded", "c1")))
        await confirm(log)
        await filled(log)
        await compact(log, ALL)
        assert [event.type for event in await left(log)] == ["ote.test.sample.v1"]

    async def test_mail_that_its_target_has_not_received_stays(self, log: Log[Event]) -> None:
        root, a = Source("root"), Source(A)
        await record(log, *settled(root, a, "c1"), root.command(A, command="c2"))
        await confirm(log)
        await filled(log)
        assert (await compact(log, ALL)).dropped == 3
        mail = await log.read(lambda r: r.mail(Mailbox("root", EPOCH, A), after=0, limit=9))
        assert [(each.number, each.event and each.event.data["command"]) for each in mail] == [(2, "c2")]

    async def test_own_finals_and_the_last_of_a_key_stay(self, log: Log[Event]) -> None:
        root = Source("root")
        for command in ("c1", "c2"):
            await record(log, root.command("root.east", command=command, key="k"))
            await log.write(lambda tx, command=command: tx.append(report("received", command)))
            await log.write(lambda tx, command=command: tx.append(report("succeeded", command, result={"n": 1})))
        await confirm(log)
        await filled(log)
        await compact(log, ALL)
        kept = [(each.type.split(".")[2], each.data["command"]) for each in await left(log) if "command" in each.data]
        assert kept == [("succeeded", "c1"), ("submitted", "c2"), ("received", "c2"), ("succeeded", "c2")]
        row = await log.read(lambda r: r.target("c1", "root.east"))
        assert row is not None and (row.state, row.result) == ("succeeded", {"n": 1})

    async def test_the_last_word_of_a_cluster_and_on_it_stays(self, log: Log[Event]) -> None:
        a = Source(A)
        events = [a.seal(cluster("announced", A, tags={"n": str(n)})) for n in range(3)]
        await record(log, *events)
        for event in ("joined", "offline", "online"):
            await log.write(lambda tx, event=event: tx.append(cluster(event, A, attached_to="root.east")))
        await confirm(log)
        await filled(log)
        before = await log.read(lambda r: r.clusters("root.east"))
        await compact(log, ALL)
        assert [event.type.split(".")[2] for event in await left(log)] == ["announced", "online", "sample"]
        assert await log.read(lambda r: r.clusters("root.east")) == before

    async def test_what_a_consumer_has_not_seen_and_the_last_event_stay(self, log: Log[Event]) -> None:
        await log.write(lambda tx: [tx.append(sample(n, shared=False)) for n in range(6)])
        await log.write(lambda tx: tx.move_place(f"objects {tx.epoch}", 2))
        await log.write(lambda tx: tx.move_place(f"objects {EPOCH}", 0))
        assert (await compact(log, ALL)).dropped == 2
        await log.write(lambda tx: tx.move_place(f"objects {tx.epoch}", 6))
        assert (await compact(log, ALL)).dropped == 3
        assert await log.read(lambda r: r.last_row()) == 6
        await log.write(lambda tx: tx.append(sample(7)))
        assert [each.row for each in await log.read(lambda r: r.events())] == [6, 7], "numbers are never used again"

    async def test_what_came_lately_stays(self, log: Log[Event]) -> None:
        await log.write(lambda tx: [tx.append(sample(n)) for n in range(6)])
        await confirm(log)
        assert (await compact(log, Retention(older_than=3600))).dropped == 0


class TestSize:
    async def test_the_oldest_go_until_the_rest_fits(self, log: Log[Event]) -> None:
        for _ in range(4):
            await log.write(lambda tx: [tx.append(sample(n, actor="x" * 2000)) for n in range(250)])
        await confirm(log)
        whole = await log.read(lambda r: r.used())
        done = await compact(log, Retention(to_size=whole // 2))
        assert done.used <= whole // 2
        rows = [each.row for each in await log.read(lambda r: r.events(limit=2000))]
        assert rows == list(range(done.dropped + 1, 1001)), "the oldest first, and no more than must"
        assert 100 <= done.dropped <= 800

    async def test_a_dry_run_tells_and_changes_nothing(self, log: Log[Event]) -> None:
        await log.write(lambda tx: [tx.append(sample(n)) for n in range(300)])
        await confirm(log)
        told = await compact(log, ALL, dry_run=True)
        assert (told.looked, told.dropped, told.freed > 0) == (300, 299, True)
        assert len(await left(log)) == 300
        steps: list[tuple[int, int]] = []
        done = await compact(log, ALL, progress=lambda row, of: steps.append((row, of)))
        assert (done.looked, done.dropped, done.freed) == (told.looked, told.dropped, told.freed)
        assert steps == [(200, 300), (300, 300), (300, 300)]


class TestWhatIsGone:
    async def test_counts_as_held(self, log: Log[Event]) -> None:
        root, a = Source("root"), Source(A)
        await record(log, *settled(root, a, "c1"), *settled(root, a, "c2"), *a.samples(2))
        await confirm(log)
        positions = await log.read(lambda r: (r.streams("root.east"), r.mailboxes("root.east")))
        await filled(log)
        await compact(log, ALL)
        assert len(await left(log)) == 1
        assert await log.read(lambda r: (r.streams("root.east"), r.mailboxes("root.east"))) == positions
        assert await log.read(lambda r: r.floors("root.east")) == {Stream(A, EPOCH): 6}
        assert await log.read(lambda r: r.mail_floors("root.east")) == {Mailbox("root", EPOCH, A): 2}
        assert await log.read(lambda r: r.floors("root.east.b")) == {}
        await record(log, *settled(root, a, "c3"))
        streams, boxes = await log.read(lambda r: (r.streams("root.east"), r.mailboxes("root.east")))
        assert (streams[Stream(A, EPOCH)], boxes[Mailbox("root", EPOCH, A)]) == (8, 3)
        after = await log.read(lambda r: r.stream(Stream(A, EPOCH), after=0, limit=9))
        assert [event.seq for event in after] == [7, 8]
        row = await log.read(lambda r: r.target("c1", A))
        assert row is not None and (row.state, row.result, row.executed is not None) == ("succeeded", None, True)

    async def test_is_a_double_when_it_comes_again(self, log: Log[Event]) -> None:
        events = Source(A).samples(3)
        await record(log, *events)
        await confirm(log)
        await filled(log)
        await compact(log, ALL)
        again = await log.write(lambda tx: tx.record(events))
        assert (again.new, again.doubles, again.forks) == ([], 3, [])
        assert len(await left(log)) == 1

    async def test_own_numbers_go_on(self, log: Log[Event]) -> None:
        a = Source(A)
        await log.write(lambda tx: tx.append(submitted("c1", [(A, tx.number(A))])))
        await record(log, a.seal(report("succeeded", "c1")))
        await confirm(log)
        await filled(log)
        assert (await compact(log, ALL)).dropped == 2
        event = await log.write(lambda tx: tx.append(submitted("c2", [(A, tx.number(A))])))
        assert (event.seq, event.to[0].number) == (2, 2)

    async def test_a_cover_stays_as_long_as_the_body(self, log: Log[Event]) -> None:
        """Alone, the body would be carried out by a target that lost its log."""
        root, a, b = Source("root"), Source(A), Source(B)
        body = root.command(A, B, command="c1")
        await record(log, body, root.seal(cancel("c1", root.mail(A), [(A, 1, "c1")])))
        await record(log, a.seal(report("cancelled", "c1")), b.seal(report("succeeded", "c1")))
        await confirm(log)
        await filled(log)
        await compact(log, ALL)
        mail = await log.read(lambda r: r.mail(Mailbox("root", EPOCH, A), after=0, limit=9))
        assert [(each.number, each.event is None) for each in mail] in ([], [(1, True), (2, False)])
        await compact(log, ALL)
        assert await log.read(lambda r: r.mail(Mailbox("root", EPOCH, A), after=0, limit=9)) == []


class TestSkip:
    async def test_what_will_not_come_counts_as_held(self, log: Log[Event]) -> None:
        root, a = Source("root"), Source(A)
        events = a.samples(8)
        mail = [root.command(A, command=f"c{n}") for n in range(8)]
        await record(log, events[1], events[5], events[6], mail[2], mail[5])

        def skip(tx: object) -> None:
            tx.skip({Stream(A, EPOCH): 5}, {Mailbox("root", EPOCH, A): 5})  # type: ignore[attr-defined]

        await log.write(skip)

        def positions(r: Reader[Event]) -> tuple[int, int]:
            return r.streams(A)[Stream(A, EPOCH)], r.mailboxes(A)[Mailbox("root", EPOCH, A)]

        assert await log.read(positions) == (7, 6)
        stream = await log.read(lambda r: r.stream(Stream(A, EPOCH), after=0, limit=9))
        assert [event.seq for event in stream] == [2, 6, 7]
        box = await log.read(lambda r: r.mail(Mailbox("root", EPOCH, A), after=0, limit=9))
        assert [each.number for each in box] == [3, 6]
        await record(log, events[7], mail[6])
        assert await log.read(positions) == (8, 7)

    async def test_of_what_was_never_seen(self, log: Log[Event]) -> None:
        box, stream = Mailbox("root", EPOCH, A), Stream(A, EPOCH)
        await log.write(lambda tx: tx.skip({stream: 4, Stream("root.west", EPOCH): 4}, {box: 7}))
        assert await log.read(lambda r: (r.streams("root.east"), r.mailboxes("root.east"))) == ({stream: 4}, {box: 7})

    async def test_an_op_that_raises_skips_nothing(self, log: Log[Event]) -> None:
        def bad(tx: object) -> None:
            tx.skip({Stream(A, EPOCH): 5}, {})  # type: ignore[attr-defined]
            tx.move_cursor("root", Cursor(EPOCH, 1))  # type: ignore[attr-defined]
            raise LookupError

        await log.write(lambda tx: tx.append(sample()))
        with pytest.raises(LookupError):
            await log.write(bad)
        assert await log.read(lambda r: r.floors("root.east")) == {}


async def test_nothing_to_do(log: Log[Event]) -> None:
    assert await compact(log, Retention()) == Compacted(used=await log.read(lambda r: r.used()))
    assert (await compact(log, ALL)).dropped == 0

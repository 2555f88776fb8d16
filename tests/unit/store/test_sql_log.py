"""What is particular to the log in an SQL database: groups, laziness, opening, closing, rebuilding."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from unittest.mock import ANY

import pytest

from bus.event import Draft, Event, new_id
from store.api import Tx
from store.errors import LogDamaged, StoreError
from store.projections.commands import Commands
from store.sql import SqlLog, open_log
from store.sql.writer import SPACING
from store.verify import verify
from tests.support import eventually
from tests.unit.store.samples import EPOCH, Source, report, sample, submitted


def log_at(path: Path | str, source: str = "root", **options: object) -> SqlLog[Event]:
    return open_log(path, source=source, decode=Event.decode, **options)  # type: ignore[arg-type]


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqlLog[Event]]:
    async with log_at(tmp_path / "log.db") as opened:
        yield opened


@pytest.fixture
async def either(place: str) -> AsyncIterator[SqlLog[Event]]:
    """A log in a file, and one in another database."""
    async with log_at(place) as opened:
        yield opened


def append(n: int = 0) -> object:
    return lambda tx: tx.append(sample(n))


class TestGroups:
    async def test_many_writes_share_few_commits(self, either: SqlLog[Event]) -> None:
        commits: list[list[Event]] = []
        either.on_commit(commits.append)
        await asyncio.gather(*(either.write(lambda tx: tx.append(sample())) for _ in range(300)))
        assert sum(len(commit) for commit in commits) == 300
        assert len(commits) < 30

    async def test_one_bad_op_harms_nobody_in_its_group(self, either: SqlLog[Event]) -> None:
        def bad(tx: Tx[Event]) -> None:
            tx.append(sample())
            raise LookupError("bad")

        writes = [either.write(bad if n % 10 == 3 else lambda tx: tx.append(sample())) for n in range(50)]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, LookupError)] == [3, 13, 23, 33, 43]
        assert [o.seq for o in outcomes if isinstance(o, Event)] == list(range(1, 46))

    async def test_what_the_database_refuses_harms_nobody_either(self, either: SqlLog[Event]) -> None:
        huge = sample().seal("root.a", EPOCH, 2**63)
        writes = [either.write(lambda tx: tx.append(sample())) for _ in range(5)]
        refused = either.write(lambda tx: tx.record([huge]))
        writes += [either.write(lambda tx: tx.append(sample())) for _ in range(5)]
        with pytest.raises(StoreError, match="not written"):
            await refused
        assert [event.seq for event in await asyncio.gather(*writes)] == list(range(1, 11))

    async def test_a_caller_who_gave_up_holds_up_nobody(self, either: SqlLog[Event]) -> None:
        first, second = (either.write(lambda tx: tx.append(sample())) for _ in range(2))
        first.cancel()
        assert (await second).seq == 2
        assert await either.read(lambda r: r.last_row()) == 2

    async def test_a_listener_that_fails_is_told_and_harms_nobody(self, either: SqlLog[Event]) -> None:
        told: list[object] = []
        heard: list[Event] = []

        def fails(events: list[Event]) -> None:
            raise LookupError

        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))
        either.on_commit(fails)
        either.on_commit(heard.extend)
        event = await either.write(lambda tx: tx.append(sample()))
        assert heard == [event]
        assert [type(error) for error in told] == [LookupError]


class TestLazy:
    async def test_waits_for_another(self, tmp_path: Path) -> None:
        async with log_at(tmp_path / "log.db", lazy_delay=60.0) as log:
            lazy = log.write(lambda tx: tx.append(sample()), lazy=True)
            assert await log.read(lambda r: r.last_row()) == 0
            assert not lazy.done()
            assert (await log.write(lambda tx: tx.append(sample()))).seq == 2
            assert lazy.done()

    async def test_does_not_wait_for_ever(self, tmp_path: Path) -> None:
        async with log_at(tmp_path / "log.db", lazy_delay=0.01) as log:
            assert (await log.write(lambda tx: tx.append(sample()), lazy=True)).seq == 1

    async def test_does_not_gather_without_end(self, tmp_path: Path) -> None:
        async with log_at(tmp_path / "log.db", lazy_delay=60.0) as log:
            writes = [log.write(lambda tx: tx.append(sample()), lazy=True) for _ in range(500)]
            assert len(await asyncio.gather(*writes)) == 500

    async def test_is_committed_on_closing(self, tmp_path: Path) -> None:
        async with log_at(tmp_path / "log.db", lazy_delay=60.0) as log:
            lazy = log.write(lambda tx: tx.append(sample()), lazy=True)
        assert (await lazy).seq == 1


class TestOpening:
    async def test_again_continues_the_same_life(self, tmp_path: Path) -> None:
        file = tmp_path / "log.db"
        async with log_at(file) as log:
            epoch = log.epoch
            await log.write(lambda tx: (tx.append(sample()), tx.number("root.a")))
        assert epoch.startswith("00000001.")
        async with log_at(f"sqlite:///{file}") as log:
            assert log.epoch == epoch
            assert (await log.write(lambda tx: tx.append(sample()))).seq == 2
            assert await log.write(lambda tx: tx.number("root.a")) == 2

    async def test_a_life_begins_above_all_before(self, log: SqlLog[Event]) -> None:
        await log.write(lambda tx: tx.append(sample()))
        first = log.epoch
        second = await log.begin_life("00000041.ffffffffffffffff")
        assert first < second == log.epoch
        assert second.startswith("00000042.")
        event = await log.write(lambda tx: tx.append(sample()))
        assert (event.epoch, event.seq) == (second, 1)
        assert (await log.begin_life()).startswith("00000043.")

    async def test_another_tiers_log_is_refused(self, tmp_path: Path) -> None:
        async with log_at(tmp_path / "log.db"):
            pass
        with pytest.raises(LogDamaged, match="not of"):
            async with log_at(tmp_path / "log.db", source="root.other"):
                pass

    async def test_a_log_from_before_the_objects_of_clusters_gets_them(self, tmp_path: Path) -> None:
        file = tmp_path / "log.db"
        told = {"changes": [{"object": {"kind": "Service", "metadata": {"name": "web"}}}]}
        async with log_at(file) as log:
            await log.write(lambda tx: tx.append(Draft("ote.object.observed.v1", "s", told)))
        with closing(sqlite3.connect(file)) as db:
            for table in ("observed", "tellers", "guarantees", "floors", "snapshots"):
                db.execute(f"DROP TABLE {table}")
            db.execute("PRAGMA user_version = 2")
            db.execute("DELETE FROM projections WHERE name = 'observed'")
            db.commit()
        async with log_at(file) as log:
            assert [row.name for row in await log.read(lambda reader: reader.observed("root"))] == ["web"]

    async def test_a_later_schema_is_refused(self, tmp_path: Path) -> None:
        with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
            connection.execute("PRAGMA user_version = 99")
        with pytest.raises(LogDamaged, match="later version"):
            async with log_at(tmp_path / "log.db"):
                pass

    async def test_what_is_no_database_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "log.db").write_bytes(b"hello" * 1000)
        with pytest.raises(LogDamaged, match="not a database"):
            async with log_at(tmp_path / "log.db"):
                pass

    async def test_a_place_that_cannot_be_written_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="unable to open"):
            async with log_at(tmp_path / "nowhere" / "log.db"):
                pass

    def test_another_backend_is_refused(self) -> None:
        with pytest.raises(StoreError, match="no backend"):
            log_at("mysql://host/db")

    async def test_after_closing_nothing_is_taken(self, tmp_path: Path) -> None:
        log = log_at(tmp_path / "log.db")
        with pytest.raises(StoreError, match="closed"):
            log.write(lambda tx: tx.append(sample()))
        async with log:
            pass
        with pytest.raises(StoreError, match="closed"):
            log.write(lambda tx: tx.append(sample()))
        with pytest.raises(StoreError, match="closed"):
            await log.read(lambda r: r.last_row())

    async def test_who_follows_ends_when_it_is_closed(self, tmp_path: Path) -> None:
        async with log_at(tmp_path / "log.db") as log:
            following = asyncio.ensure_future(anext(log.follow(), None))
            await eventually(lambda: log._tail.is_followed)
        assert await following is None


class TestGuarantees:
    async def test_the_log_records_what_its_commits_are_worth(self, tmp_path: Path) -> None:
        for synchronous in (None, "NORMAL", None, "NORMAL", "FULL"):
            async with log_at(tmp_path / "log.db", synchronous=synchronous) as log:
                await log.write(lambda tx: tx.append(sample()))
                kept = await log.read(lambda r: r.guarantees())
                cursor = log._ledger.session.cursor
                cursor.execute("PRAGMA synchronous")
                assert cursor.fetchone() == ({"NORMAL": 1, "FULL": 2}[kept[-1].synchronous],)
        assert [(one.synchronous, one.row) for one in kept] == [("FULL", 0), ("NORMAL", 1), ("FULL", 4)]
        assert sorted(one.since for one in kept) == [one.since for one in kept]
        assert verify(tmp_path / "log.db", Event.decode) == []


class TestFollowing:
    async def test_far_behind_reads_from_the_file(self, either: SqlLog[Event], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("store.sql.tail.KEPT", 10)
        for _ in range(8):
            await either.write(lambda tx: [tx.append(sample(n)) for n in range(100)])
        rows: list[int] = []
        async for batch in either.follow(after=20):
            rows += [stored.row for stored in batch]
            if rows[-1] == 800:
                break
        assert rows == list(range(21, 801))


class TestAside:
    """What is put aside waits for its like, and for nobody else's sake."""

    async def test_a_write_goes_before_it_and_a_flush_takes_it_along(self, tmp_path: Path) -> None:
        async with log_at(tmp_path / "log.db", lazy_delay=60.0) as log:
            first = log.write(lambda tx: tx.append(sample(1)), aside=True)
            second = log.write(lambda tx: tx.append(sample(2)), aside=True)
            await log.write(lambda tx: tx.append(sample(0)))
            assert not first.done()
            await log.flush()
            assert first.done() and second.done()
            assert [s.event.data["n"] for s in await log.read(lambda r: r.events())] == [0, 1, 2]

    async def test_it_goes_by_itself_and_at_the_end(self, tmp_path: Path) -> None:
        async with log_at(tmp_path / "log.db", lazy_delay=0.01) as log:
            await log.write(lambda tx: tx.append(sample(1)), aside=True)
            log.write(lambda tx: tx.append(sample(2)), aside=True)
        async with log_at(tmp_path / "log.db") as log:
            assert [s.event.data["n"] for s in await log.read(lambda r: r.events())] == [1, 2]

    async def test_what_keeps_coming_goes_in_few_groups(self, tmp_path: Path) -> None:
        async with log_at(tmp_path / "log.db", lazy_delay=0.01) as log:
            begin, before = time.monotonic(), log.commits.count
            writes = []
            for n in range(100):
                writes.append(log.write(lambda tx, n=n: tx.append(sample(n)), aside=True))
                await asyncio.sleep(0.002)
            await asyncio.gather(*writes)
            # One after the first delay, then one each time that five have passed.
            most = 2 + (time.monotonic() - begin) / (SPACING * 0.01)
            assert 1 <= log.commits.count - before <= most
            assert [s.event.data["n"] for s in await log.read(lambda r: r.events())] == list(range(100))

    async def test_what_follows_from_it_is_in_its_commit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("store.sql.committer.FOLD_DELAY", 60.0)
        async with log_at(tmp_path / "log.db", lazy_delay=0.01) as log:
            await log.write(lambda tx: tx.append(submitted("c0", [])))
            await log.write(lambda tx: tx.append(submitted("c1", [])), aside=True)
            assert lag(tmp_path / "log.db") == 0


class TestLag:
    """What follows from events may be written a little later than a commit for which somebody waits."""

    @pytest.fixture
    async def lagging(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqlLog[Event]]:
        monkeypatch.setattr("store.sql.committer.FOLD_DELAY", 60.0)
        async with log_at(tmp_path / "log.db", lazy_delay=60.0) as log:
            for id in ("c0", "c1", "c2"):
                await log.write(lambda tx, id=id: tx.append(submitted(id, [("root.a", tx.number("root.a"))])))
            assert lag(tmp_path / "log.db") > 0
            yield log

    async def test_whoever_reads_them_sees_what_they_should_tell(self, tmp_path: Path, lagging: SqlLog[Event]) -> None:
        assert len(await lagging.read(lambda r: r.events())) == 3
        assert lag(tmp_path / "log.db") > 0
        assert list((await lagging.read(lambda r: r.mailboxes("root"))).values()) == [3]
        assert lag(tmp_path / "log.db") == 0
        assert [row.id for row in await lagging.read(lambda r: r.commands())] == ["c2", "c1", "c0"]
        assert lag(tmp_path / "log.db") == 0

    async def test_a_transaction_sees_it_too(self, lagging: SqlLog[Event]) -> None:
        assert await lagging.write(lambda tx: len(tx.targets("c2"))) == 1
        assert await lagging.write(lambda tx: tx.target("c1", "root.a")) is not None

    async def test_after_a_crash_they_are_brought_up(self, tmp_path: Path, lagging: SqlLog[Event]) -> None:
        for end in ("", "-wal"):
            (tmp_path / f"copy.db{end}").write_bytes((tmp_path / f"log.db{end}").read_bytes())
        assert verify(tmp_path / "copy.db", Event.decode) == []
        async with log_at(tmp_path / "copy.db") as log:
            assert lag(tmp_path / "copy.db") == 0
            ((box, held),) = (await log.read(lambda r: r.mailboxes("root"))).items()
            assert held == 3 and len(await log.read(lambda r: r.mail(box, after=0, limit=9))) == 3
            assert list((await log.read(lambda r: r.streams("root"))).values()) == [3]
            assert await log.write(lambda tx: tx.number("root.a")) == 4
            assert [row.id for row in await log.read(lambda r: r.commands())] == ["c2", "c1", "c0"]

    async def test_what_another_process_did_not_write_yet_is_made_up(
        self, tmp_path: Path, lagging: SqlLog[Event]
    ) -> None:
        async with log_at(tmp_path / "log.db", lazy_delay=60.0) as other:
            for turn in range(4, 9):
                log = other if turn % 2 else lagging
                event = await log.write(lambda tx: tx.append(submitted(new_id(), [("root.a", tx.number("root.a"))])))
                assert (event.seq, event.to[0].number) == (turn, turn)
        assert verify(tmp_path / "log.db", Event.decode) == []

    async def test_closing_brings_them_up(self, tmp_path: Path) -> None:
        async with log_at(tmp_path / "log.db", lazy_delay=60.0) as log:
            for id in ("c0", "c1"):
                await log.write(lambda tx, id=id: tx.append(submitted(id, [])))
        assert lag(tmp_path / "log.db") == 0


def lag(file: Path) -> int:
    """How many rows the projections of this file are behind."""
    with closing(sqlite3.connect(file)) as connection:
        query = "SELECT (SELECT max(row) FROM events) - (SELECT min(row) FROM projections)"
        found: int = connection.execute(query).fetchone()[0]
        return found


class TestRebuild:
    @pytest.fixture
    async def full(self, log: SqlLog[Event]) -> SqlLog[Event]:
        site = Source("root.a")
        await log.write(
            lambda tx: [tx.append(submitted(f"c{n}", [("root.a", tx.number("root.a"))])) for n in range(600)]
        )
        await log.write(lambda tx: tx.record([site.seal(report("succeeded", f"c{n}")) for n in range(0, 600, 2)]))
        await log.flush()
        return log

    async def test_tells_how_far_it_is(self, full: SqlLog[Event]) -> None:
        told: list[tuple[str, int, int]] = []
        before = await full.read(lambda r: [r.targets(f"c{n}") for n in range(600)])
        await full.rebuild("commands", lambda *step: told.append(step))
        assert await full.read(lambda r: [r.targets(f"c{n}") for n in range(600)]) == before
        await eventually(lambda: told and told[-1] == ("commands", 900, 900))
        assert [name for name, _, _ in told] == ["commands"] * 2

    async def test_of_what_is_not_known_is_refused(self, full: SqlLog[Event]) -> None:
        with pytest.raises(KeyError, match="there are commands, clusters, objects"):
            await full.rebuild("nothing")

    async def test_happens_by_itself_when_a_fold_has_changed(
        self, tmp_path: Path, full: SqlLog[Event], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = await full.read(lambda r: r.counts())
        with closing(sqlite3.connect(tmp_path / "log.db")) as connection, connection:
            connection.execute("UPDATE targets SET state = 'nonsense'")
        monkeypatch.setattr(Commands, "version", 2)
        async with log_at(tmp_path / "log.db") as again:
            assert await again.read(lambda r: r.counts()) == before | {"bytes": ANY}

    async def test_of_a_fold_that_is_new_happens_by_itself(self, tmp_path: Path, full: SqlLog[Event]) -> None:
        before = await full.read(lambda r: r.counts())
        with closing(sqlite3.connect(tmp_path / "log.db")) as connection, connection:
            connection.execute("DELETE FROM projections")
            connection.execute("DELETE FROM commands")
            connection.execute("DELETE FROM targets")
        async with log_at(tmp_path / "log.db") as again:
            assert await again.read(lambda r: r.counts()) == before | {"bytes": ANY}

    async def test_a_projection_that_lags_catches_up(self, tmp_path: Path, full: SqlLog[Event]) -> None:
        """As if a program that knows no projections had written the last events."""
        with closing(sqlite3.connect(tmp_path / "log.db")) as connection, connection:
            connection.execute("UPDATE projections SET row = 500")
            connection.execute("DELETE FROM commands WHERE row > 500")
        await full.write(lambda tx: tx.append(submitted("last", [])))
        assert (await full.read(lambda r: r.counts()))["commands"] == 601


class TestWhatIsLookedUp:
    """A record above all that a table holds is not looked for: whatever lies below must still be found."""

    async def test_what_another_process_left_is_found(self, place: str) -> None:
        root, site = Source("root"), Source("root.a")
        commands = [root.command("root.a", command=f"c{n}") for n in (2, 5)]
        async with log_at(place) as log:
            await log.write(lambda tx: tx.record(commands))
            await log.flush()
        middle, late = root.command("root.a", command="c3"), root.command("root.a", command="c7")
        async with log_at(place) as log:
            await log.write(lambda tx: tx.record([middle, site.seal(report("received", "c2"))]))
            await log.write(lambda tx: tx.record([late, site.seal(report("succeeded", "c5"))]))
            await log.flush()
            states = await log.read(lambda r: {c: r.targets(c)[0].state for c in ("c2", "c3", "c5", "c7")})
            numbers = await log.read(lambda r: [r.targets(c)[0].number for c in ("c2", "c3", "c5", "c7")])
        assert states == {"c2": "received", "c3": "accepted", "c5": "succeeded", "c7": "accepted"}
        assert numbers == [1, 3, 2, 4]

    async def test_a_rebuild_writes_in_parts_what_comes_in_parts(
        self, place: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Commands that come in any order, and reports that come long after their commands were written."""
        root, site, ids = Source("root"), Source("root.a"), [f"c{n}" for n in (4, 1, 9, 2, 8, 3, 7, 0, 6, 5)]
        async with log_at(place) as log:
            sent = [root.command("root.a", command=id) for id in ids]
            said = [site.seal(report(state, id)) for state in ("received", "succeeded") for id in reversed(ids[1:])]
            await log.write(lambda tx: tx.record([*sent, *said]))
            await log.flush()
            told = await log.read(lambda r: [(r.command(id), r.targets(id)) for id in ids])
            monkeypatch.setattr("store.sql.projector.BATCH", 2)
            monkeypatch.setattr("store.sql.projector.SPILLED", 2)
            monkeypatch.setattr("store.sql.rows.KEPT", 3)
            await log.rebuild("commands")
            assert await log.read(lambda r: [(r.command(id), r.targets(id)) for id in ids]) == told
        assert verify(place, Event.decode, source="root") == []

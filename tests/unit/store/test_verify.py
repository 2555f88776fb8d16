"""`store.verify` finds what is not as it must be."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bus.event import Event
from store.compaction import Retention, compact
from store.sql import open_log
from store.verify import Finding, verify
from tests.unit.store.samples import Source, cancel, cluster, report, sample, stored, submitted

A = "root.east.a"


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """A log with something of everything."""
    root, site = Source("root"), Source(A)
    first = root.command(A, "root.east", command="c1", key="k")
    second = root.command(A, command="c2", key="k", covers=[(A, 1, "c1")])
    root.command(A, command="c3")
    reports = [site.seal(report(state, "c2")) for state in ("received", "started", "succeeded")]
    async with open_log(tmp_path / "log.db", source="root.east", decode=Event.decode) as log:
        await log.write(lambda tx: tx.record([first, second, root.seal(cancel("c3", root.mail(A), [(A, 3, "c3")]))]))
        await log.write(lambda tx: tx.record([*reversed(reports), site.seal(stored("c1")), *site.samples(2)[1:]]))
        await log.write(lambda tx: [tx.append(sample(n, shared=n != 1)) for n in range(3)])
        await log.write(lambda tx: tx.append(submitted("c4", [(A, tx.number(A))])))
        await log.write(lambda tx: tx.append(cluster("announced", "root.east", tags={"a": ""})))
        await log.begin_life()
        await log.write(lambda tx: tx.append(sample(9)))
    return tmp_path / "log.db"


def damage(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(statement)


def kinds(findings: list[Finding]) -> set[str]:
    return {finding.kind for finding in findings}


def test_a_sound_log_has_none(file: Path) -> None:
    steps: dict[str, tuple[int, int]] = {}

    def progress(step: str, done: int, of: int) -> None:
        steps[step] = (done, of)

    assert verify(file, Event.decode, progress) == []
    derived = {"commands", "clusters", "objects", "observed", "keys"}
    assert set(steps) == {"file", "events", "positions", "compare"} | derived
    assert all(done == of for done, of in steps.values())


async def test_a_log_that_grows_meanwhile_is_seen_at_one_moment(file: Path) -> None:
    async with open_log(file, source="root.east", decode=Event.decode) as log:
        checks = asyncio.gather(*(asyncio.to_thread(verify, file, Event.decode) for _ in range(3)))
        number = 100
        while not checks.done():
            await log.write(lambda tx, number=number: tx.append(sample(number)))
            number += 1
        assert await checks == [[], [], []]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert kinds(verify(tmp_path / "none.db", Event.decode)) == {"file"}


def test_bytes_that_changed_are_told(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        ((body,),) = connection.execute("SELECT body FROM events WHERE row = 8")
        changed = body.replace(b"test-sample", b"test-simple")
        connection.execute("UPDATE events SET body = ? WHERE row = 8", (changed,))
    findings = verify(file, Event.decode)
    assert [(f.kind, f.where, f.what.split()[0]) for f in findings] == [
        ("event", "row 8", "subject"),
        ("event", "row 8", "checksum"),
    ]


def test_a_body_that_is_no_event_is_told(file: Path) -> None:
    damage(file, "UPDATE events SET body = x'00' WHERE row = 2")
    (finding,) = verify(file, Event.decode)
    assert finding.where == "row 2"
    assert "cannot be read" in finding.what


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE streams SET held = held + 1", "streams"),
        ("DELETE FROM streams", "streams"),
        ("UPDATE boxes SET top = 9", "boxes"),
        ("DELETE FROM fills WHERE cover IS NOT NULL", "fills"),
        ("UPDATE fills SET event = 1", "fills"),
        ("UPDATE targets SET state = 'failed' WHERE state = 'succeeded'", "targets"),
        ("DELETE FROM commands WHERE id = 'c1'", "commands"),
        ("UPDATE waypoints SET time = 'never'", "waypoints"),
        ("UPDATE clusters SET tags = x'80'", "clusters"),
        ("INSERT INTO objects VALUES ('v1', 'Pod', '', 'x', x'80')", "objects"),
    ],
)
def test_what_does_not_follow_from_the_events_is_told(file: Path, statement: str, kind: str) -> None:
    damage(file, statement)
    assert kinds(verify(file, Event.decode)) == {kind}


def test_a_lost_event_is_told(file: Path) -> None:
    damage(file, "DELETE FROM events WHERE row = 1")
    assert kinds(verify(file, Event.decode)) >= {"boxes", "fills", "targets"}


def test_a_broken_file_is_told(file: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as raw:
        for page in range(1, size // 4096):
            raw.seek(page * 4096 + 100)
            raw.write(b"\xff" * 200)
    assert kinds(verify(file, Event.decode)) == {"file"}


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    file = tmp_path / "log.db"
    file.write_bytes(b"hello" * 1000)
    assert kinds(verify(file, Event.decode)) == {"file"}


async def test_a_compacted_log_is_whole_and_is_rebuilt_as_it_was(file: Path) -> None:
    """Also when a second process compacts while a first one writes, and after a restart."""
    tables = ("commands", "targets", "waypoints", "clusters", "objects", "streams", "boxes")

    def told() -> dict[str, list[object]]:
        with closing(sqlite3.connect(file)) as db:
            return {name: db.execute(f"SELECT * FROM {name} ORDER BY 1, 2, 3").fetchall() for name in tables}

    async with open_log(file, source="root.east", decode=Event.decode) as log:
        await log.write(lambda tx: tx.append(report("succeeded", "c1", result=1)))
        await log.write(lambda tx: tx.confirm("root", tx.streams("root.east")))
        await log.flush()
        before = told()
        count = (await log.read(lambda r: r.counts()))["events"]
        async with open_log(file, source="root.east", decode=Event.decode) as other:
            done = await compact(other, Retention(older_than=0))
        assert done.dropped >= 4
        assert told() == before
        event = await log.write(lambda tx: tx.append(submitted("c5", [(A, tx.number(A))])))
        assert (await log.read(lambda r: r.counts()))["events"] == count - done.dropped + 1
        assert event.to[0].number == 1, "the first in a new life"
    assert await asyncio.to_thread(verify, file, Event.decode) == []
    async with open_log(file, source="root.east", decode=Event.decode) as log:
        await log.flush()
        before = told()
        await log.rebuild()
        await log.flush()
        assert told() == before
        await compact(log, Retention(older_than=0))
        await log.rebuild("commands")
        await log.flush()
        assert told() == before
        assert await log.write(lambda tx: tx.append(sample(1)))
    assert await asyncio.to_thread(verify, file, Event.decode) == []
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE floors SET number = number + 100 WHERE target = ''")
    assert {finding.kind for finding in await asyncio.to_thread(verify, file, Event.decode)} == {"streams"}


async def test_an_older_fold_is_made_anew_from_its_snapshot(file: Path) -> None:
    async with open_log(file, source="root.east", decode=Event.decode) as log:
        await log.write(lambda tx: tx.confirm("root", tx.streams("root.east")))
        await compact(log, Retention(older_than=0))
        before = await log.read(lambda r: r.commands())
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE projections SET version = 0 WHERE name = 'commands'")
        db.execute("DELETE FROM commands")
    async with open_log(file, source="root.east", decode=Event.decode) as log:
        assert await log.read(lambda r: r.commands()) == before

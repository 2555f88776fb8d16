"""`ote store verify` and `rebuild` on real log files."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from bus.event import Draft, Event
from store.sql import open_log
from tests.integration.cli import Ote

COUNT = 50


@pytest.fixture
def ote(tmp_path: Path) -> Ote:
    return Ote(tmp_path, None)


@pytest.fixture
async def state(tmp_path: Path) -> Path:
    """The state directory of a tier whose log holds some clusters."""
    directory = tmp_path / "root"
    directory.mkdir()
    async with open_log(directory / "log.db", source="root", decode=Event.decode) as log:
        for number in range(COUNT):
            data = {"path": f"root.s{number}", "attached_to": "root"}
            await log.write(lambda tx, data=data: tx.append(Draft("ote.cluster.joined.v1", "ote.evt.x.root", data)))
    return directory


def spoil(state: Path, statement: str) -> None:
    with sqlite3.connect(state / "log.db") as connection:
        connection.execute(statement)
    connection.close()


async def test_a_whole_log(ote: Ote, state: Path) -> None:
    ran = await ote("store", "verify", "--state", str(state))
    assert (ran.code, ran.err) == (0, "")
    whole, worth = ran.lines
    assert whole == f"{state / 'log.db'} is whole"
    assert worth.startswith("what is in it survives a power cut (FULL since 2")
    assert (await ote("store", "verify", "--log", str(state / "log.db"), "-o", "json")).json()["findings"] == []


async def test_verify_tells_what_commits_were_worth(ote: Ote, state: Path) -> None:
    async with open_log(state / "log.db", source="root", decode=Event.decode, synchronous="NORMAL"):
        pass
    told = (await ote("store", "verify", "--state", str(state), "-o", "json")).json()["guarantees"]
    assert [(one["row"], one["synchronous"]) for one in told] == [(0, "FULL"), (COUNT, "NORMAL")]
    # Earlier versions did not record it: what came before is not told, and what comes is recorded.
    for table in ("guarantees", "floors", "snapshots"):
        spoil(state, f"DROP TABLE {table}")
    spoil(state, "PRAGMA user_version = 2")
    assert (await ote("store", "verify", "--state", str(state), "-o", "json")).json()["guarantees"] == []
    assert (await ote("store", "rebuild", "--state", str(state))).code == 0
    told = (await ote("store", "verify", "--state", str(state), "-o", "json")).json()["guarantees"]
    assert [(one["row"], one["synchronous"]) for one in told] == [(COUNT, "FULL")]


async def test_what_is_derived_wrongly_is_found_and_rebuilt(ote: Ote, state: Path) -> None:
    spoil(state, "DELETE FROM clusters WHERE path = 'root.s7'")
    found = await ote("store", "verify", "--state", str(state))
    assert found.code == 1
    assert [line.split() for line in found.lines[:2]] == [
        ["IN", "WHERE", "WHAT"],
        ["clusters", "root.s7", "is", "missing"],
    ]
    assert (await ote("store", "verify", "--state", str(state), "-o", "name")).lines == ["clusters root.s7"]
    built = await ote("store", "rebuild", "--state", str(state), "clusters")
    assert (built.code, built.out) == (0, "rebuilt clusters of the log of root\n")
    assert (await ote("store", "verify", "--state", str(state))).code == 0
    assert (await ote("store", "rebuild", "--state", str(state), "-o", "json")).json()["rebuilt"] == "all"
    assert (await ote("store", "rebuild", "--state", str(state), "nothing")).code == 3


async def test_an_event_that_was_changed_is_found(ote: Ote, state: Path) -> None:
    spoil(state, "UPDATE events SET body = CAST(substr(body, 1, length(body) - 1) || x'7a' AS BLOB) WHERE row = 3")
    found = await ote("store", "verify", "--state", str(state), "-o", "json")
    assert found.code == 1
    assert {finding["where"] for finding in found.json()["findings"]} == {"row 3"}


async def test_no_log_there(ote: Ote, tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("not a database " * 100)
    verified = await ote("store", "verify", "--log", str(other))
    assert (verified.code, "not a database" in verified.out) == (1, True)
    rebuilt = await ote("store", "rebuild", "--log", str(other))
    assert (rebuilt.code, "Traceback" in rebuilt.err) == (6, False)
    assert (await ote("store", "verify", "--state", str(tmp_path))).code == 3
    assert (await ote("store", "verify")).code == 2
    assert (await ote("store", "verify", "--state", "a", "--log", "b")).code == 2
    assert other.read_text().startswith("not a database")


async def test_compact_drops_what_nobody_needs(ote: Ote, state: Path) -> None:
    file = state / "log.db"
    async with open_log(file, source="root", decode=Event.decode) as log:
        for _ in range(20):
            drafts = [Draft("ote.test.v1", "ote.evt.x.root", {"pad": "x" * 1000}) for _ in range(100)]
            await log.write(lambda tx, drafts=drafts: [tx.append(draft) for draft in drafts])
        clusters = await log.read(lambda reader: reader.clusters("root"))
    told = await ote("store", "compact", "--state", str(state), "--older-than", "1d")
    before = file.stat().st_size
    assert (told.code, told.lines[0]) == (0, "dropped 0 events of the log of root, about 0 B")
    dry = (await ote("store", "compact", "--state", str(state), "--older-than", "0s", "--dry-run", "-o", "json")).json()
    assert (dry["dropped"], dry["dry_run"], file.stat().st_size) == (1999, True, before)
    half = (await ote("store", "compact", "--state", str(state), "--to-size", f"{before // 2}", "-o", "json")).json()
    assert 0 < half["dropped"] < 1999
    assert half["shrunk"] and half["bytes"] == file.stat().st_size <= before * 0.6
    done = await ote("store", "compact", "--state", str(state), "--older-than", "0s")
    assert (done.code, done.err) == (0, "")
    assert (await ote("store", "verify", "--state", str(state))).code == 0
    assert (await ote("store", "rebuild", "--state", str(state))).code == 0
    async with open_log(file, source="root", decode=Event.decode) as log:
        assert await log.read(lambda reader: reader.clusters("root")) == clusters
        assert await log.read(lambda reader: reader.last_row()) == COUNT + 2000
    for words in (["--state", str(state)], ["--state", str(state), "--older-than", "soon"]):
        refused = await ote("store", "compact", *words)
        assert (refused.code, "Traceback" in refused.err, "older" in refused.err) == (2, False, True)
    assert "is no size" in (await ote("store", "compact", "--state", str(state), "--to-size", "big")).err

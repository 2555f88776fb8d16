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
    assert (ran.code, ran.out, ran.err) == (0, f"{state / 'log.db'} is whole\n", "")
    assert (await ote("store", "verify", "--log", str(state / "log.db"), "-o", "json")).json()["findings"] == []


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

"""Signatures in a log on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.errors import Conflict
from bus.event import Event
from bus.signing import Signer
from leafnodes.credentials.store import State
from leafnodes.credentials.tier import Credentials
from services.cli.vouching import voucher
from store.sql import open_log
from store.verify import verify
from tests.support import new_seed
from tests.unit.store.samples import EPOCH, cluster, sample

EAST, SITE = "root.east", "root.east.site"


@pytest.fixture
def seed(tmp_path: Path) -> str:
    """The key of a tier with credentials in this directory."""
    made = Credentials.found(tmp_path, State(path=EAST, trusted={"root": Signer(new_seed()).public}))
    return made.keys.cluster.seed


@pytest.fixture
def state(tmp_path: Path, seed: str) -> Path:
    return tmp_path


async def test_each_event_must_be_signed_by_its_source(state: Path, seed: str) -> None:
    site, thief = Signer(new_seed()), Signer(new_seed())
    log = state / "log.db"
    async with open_log(log, source=EAST, decode=Event.decode, sign=Signer(seed)) as opened:
        word = cluster("admitted", SITE, key=site.public, before=[[EPOCH, 1]])
        await opened.write(lambda tx: [tx.append(word), tx.append(sample(1, shared=False))])
        good = [sample(1).seal(SITE, EPOCH, 1), sample(2).seal(SITE, EPOCH, 2, site)]
        await opened.write(lambda tx: tx.record(good))
        assert verify(log, Event.decode, vouch=voucher(state)) == []
        bad = [sample(3).seal(SITE, EPOCH, 3, thief), sample(4).seal(SITE, EPOCH, 4), sample(5).seal("root", EPOCH, 1)]
        stranger = sample(6).seal("root.east.other", EPOCH, 1, thief)
        await opened.write(lambda tx: tx.record([*bad, stranger]))
    found = verify(log, Event.decode, vouch=voucher(state))
    assert [finding.where for finding in found] == ["row 5", "row 6", "row 7", "row 8"]
    words = ["not that of its source", "no signature", "no signature", "nobody has said"]
    for finding, expected in zip(found, words, strict=True):
        assert expected in finding.what
    assert verify(log, Event.decode) == []


def test_without_credentials_there_is_nothing_to_check(tmp_path: Path) -> None:
    assert voucher(tmp_path) is None


@pytest.mark.parametrize("name", ["state.json", "keys.json", "unsigned.json"])
@pytest.mark.parametrize("damage", ["{", "[]", '{"path": "root.east", "trusted": 3}'])
def test_damaged_credentials_are_told(state: Path, name: str, damage: str) -> None:
    (state / "credentials" / name).write_text(damage)
    with pytest.raises(Conflict, match=name):
        voucher(state)

"""Which key is whose, and what is believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bus.event import Draft, Event
from bus.signing import Signer
from services.controller.keyring import KeyRing
from store.api import KeyRow
from store.memory import MemoryLog
from tests.support import new_seed
from tests.unit.store.samples import EPOCH, LATER, cluster, sample

ROOT, EAST, SITE, CELL = "root", "root.east", "root.east.site", "root.east.site.cell"
KEYS = {path: Signer(new_seed()) for path in (ROOT, EAST, SITE, CELL)}
THIEF = Signer(new_seed())


class World:
    """What clusters say, each under its own key unless another is given."""

    def __init__(self) -> None:
        self._seqs: dict[str, int] = {}

    def says(self, path: str, draft: Draft | None = None, key: Signer | None = None, epoch: str = EPOCH) -> Event:
        self._seqs[path] = self._seqs.get(path, 0) + 1
        return (draft or sample(1)).seal(path, epoch, self._seqs[path], key or KEYS[path])

    def admits(self, path: str, key: Signer | None = None, by: str = "", **data: Any) -> Event:
        by = by or path.rpartition(".")[0]
        return self.says(by, cluster("admitted", path, key=(key or KEYS[path]).public, **data))

    def revokes(self, path: str, by: str, through: Mapping[str, int] | None = None) -> Event:
        places = [list(place) for place in (through or {}).items()]
        return self.says(by, cluster("revoked", path, key=KEYS[path].public, through=places))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def ring() -> KeyRing:
    """That of root.east."""
    return KeyRing([KeyRow(EAST, KEYS[EAST].public), KeyRow(ROOT, KEYS[ROOT].public)])


def test_the_keys_above_and_the_own_need_nobodys_word(ring: KeyRing, world: World) -> None:
    assert ring.judge(world.says(ROOT)) is None
    assert ring.judge(world.says(EAST)) is None
    assert ring.judge(world.says(ROOT, key=KEYS[EAST])) == "forged"


def test_trust_goes_down_along_the_path(ring: KeyRing, world: World) -> None:
    assert ring.judge(world.says(SITE)) == "unknown"
    ring.learn(world.admits(SITE))
    assert ring.judge(world.says(SITE)) is None
    word = world.admits(CELL)
    assert ring.judge(word) is None
    assert ring.judge(world.says(CELL)) == "unknown"
    ring.learn(word)
    assert ring.judge(world.says(CELL)) is None


def test_only_the_parent_speaks_for_a_cluster(ring: KeyRing, world: World) -> None:
    ring.learn(world.admits(SITE))
    for by in (ROOT, CELL):
        ring.learn(world.admits(CELL, by=by, key=THIEF if by == ROOT else KEYS[CELL]))
        assert ring.judge(world.says(CELL, key=THIEF)) == "unknown"


def test_what_was_changed_on_the_way_is_forged(ring: KeyRing, world: World) -> None:
    ring.learn(world.admits(SITE))
    body = world.says(SITE, sample(1, actor="ada")).body
    event = Event.decode(body.replace(b"\xa3ada", b"\xa3eve"))
    assert event.actor == "eve"
    assert ring.judge(event) == "forged"


def test_what_has_no_signature_is_not_believed(ring: KeyRing, world: World) -> None:
    ring.learn(world.admits(SITE))
    assert ring.judge(sample(1).seal(SITE, EPOCH, 1)) == "unsigned"
    assert ring.judge(sample(1).seal(ROOT, EPOCH, 1)) == "unsigned"


def test_what_was_said_before_there_was_a_key_stays_valid_up_to_its_place(ring: KeyRing, world: World) -> None:
    ring.learn(world.admits(SITE, before=[[EPOCH, 2]]))
    verdicts = [ring.judge(sample(1).seal(SITE, EPOCH, seq)) for seq in (1, 2, 3)]
    assert verdicts == [None, None, "unsigned"]
    assert ring.judge(sample(1).seal(SITE, LATER, 1)) == "unsigned"
    assert ring.judge(sample(1).seal(SITE, EPOCH, None)) == "unsigned"


def test_nobody_is_admitted_without_a_signature(ring: KeyRing, world: World) -> None:
    """Neither by what comes now, nor by what a log had taken before anybody had a key."""
    ring.learn(world.admits(SITE, before=[[EPOCH, 9]]))
    word = cluster("admitted", CELL, key=THIEF.public).seal(SITE, EPOCH, 1)
    assert ring.judge(word) == "unsigned"
    ring.load([KeyRow(CELL, THIEF.public, by=SITE, epoch=EPOCH, seq=9)])
    assert ring.judge(world.says(CELL, key=THIEF)) == "unknown"
    ring.load([KeyRow(CELL, THIEF.public, by=SITE, epoch=EPOCH, seq=10)])
    assert ring.judge(world.says(CELL, key=THIEF)) is None


def test_a_revoked_key_counts_up_to_its_place(ring: KeyRing, world: World) -> None:
    ring.learn(world.admits(SITE))
    early, late = world.says(SITE), world.says(SITE)
    ring.learn(world.revokes(SITE, ROOT, {EPOCH: 1}))
    assert [ring.judge(event) for event in (early, late)] == [None, "revoked"]
    ring.learn(world.admits(SITE))
    assert ring.judge(late) == "revoked"
    ring.learn(world.admits(SITE, key=THIEF))
    assert ring.judge(world.says(SITE, key=THIEF)) is None
    assert ring.judge(early) is None


def test_nobody_revokes_from_below_or_beside(ring: KeyRing, world: World) -> None:
    ring.learn(world.admits(SITE))
    for by in (CELL, SITE):
        ring.learn(world.revokes(SITE, by))
    assert ring.judge(world.says(SITE)) is None


def test_a_key_that_is_none_is_passed_over(ring: KeyRing, world: World) -> None:
    ring.learn(world.says(EAST, cluster("admitted", SITE, key="U" * 56)))
    assert ring.judge(world.says(SITE)) == "unknown"


def test_the_log_tells_a_ring_what_another_learned(ring: KeyRing, world: World) -> None:
    log: MemoryLog[Event] = MemoryLog(EAST, sign=KEYS[EAST])
    words = [world.admits(CELL), world.revokes(CELL, SITE, {EPOCH: 1}), world.admits(SITE, before=[[EPOCH, 0]])]
    log.apply(lambda tx: tx.append(cluster("admitted", SITE, key=KEYS[SITE].public, before=[[LATER, 1]])))
    log.apply(lambda tx: tx.record(words[:2]))
    log.commit()
    ring.load(log.query(lambda reader: reader.keys(EAST)))
    assert [ring.judge(world.says(CELL)) for _ in range(2)] == [None, "revoked"]
    assert ring.judge(sample(1).seal(SITE, LATER, 1)) is None

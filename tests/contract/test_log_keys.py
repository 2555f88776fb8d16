"""Which key is whose, in every store."""

from __future__ import annotations

from bus.event import Event
from store.api import KeyRow, Log
from tests.unit.store.samples import EPOCH, LATER, Source, cluster

A, B = "root.east.a", "root.east.a.b"
UNDER = "root.east"


async def keys(log: Log[Event], under: str = UNDER) -> list[KeyRow]:
    return await log.read(lambda reader: reader.keys(under))


async def record(log: Log[Event], *events: Event) -> None:
    await log.write(lambda tx: tx.record(events))


async def test_of_its_children_a_tier_says_it_itself(log: Log[Event]) -> None:
    word = cluster("admitted", A, key="UA", tags={"camera": ""}, token="t1", before=[[EPOCH, 7]], time="t1")
    event = await log.write(lambda tx: tx.append(word))
    expected = KeyRow(
        A, "UA", UNDER, log.epoch, event.seq or 0, "t1", token="t1", tags={"camera": ""}, before={EPOCH: 7}
    )
    assert await keys(log) == [expected]
    assert await keys(log, A) == [expected]
    assert await keys(log, B) == []


async def test_of_those_farther_below_only_their_parent_does(log: Log[Event]) -> None:
    a, stranger = Source(A), Source("root.east.c")
    await record(
        log,
        stranger.seal(cluster("admitted", B, key="U1")),
        a.seal(cluster("admitted", A, key="U2")),
        a.seal(cluster("admitted", B, key="UB", time="t1")),
        a.seal(cluster("admitted", B, key=7)),
        a.seal(cluster("admitted", "", key="U3")),
    )
    assert [(row.path, row.key, row.by, row.admitted) for row in await keys(log)] == [(B, "UB", A, "t1")]


async def test_a_cluster_may_have_several_keys_one_after_the_other(log: Log[Event]) -> None:
    a = Source(A)
    await record(log, *(a.seal(cluster("admitted", B, key=key)) for key in ("U2", "U1")))
    assert [row.key for row in await keys(log)] == ["U1", "U2"]


async def test_the_latest_word_of_the_parent_counts_in_whatever_order_it_comes(log: Log[Event]) -> None:
    a = Source(A)
    first, second = (a.seal(cluster("admitted", B, key="UB", token=token)) for token in ("t1", "t2"))
    await record(log, second, first)
    assert [row.token for row in await keys(log)] == ["t2"]


async def test_any_tier_above_may_revoke_and_that_is_for_ever(log: Log[Event]) -> None:
    a = Source(A)
    admitted = a.seal(cluster("admitted", B, key="UB"))
    own_word = Source(B).seal(cluster("revoked", B, key="UB", time="t1"))
    revoked = cluster("revoked", B, key="UB", through=[[EPOCH, 3], ["bad"], "bad"], time="t2")
    again = a.seal(cluster("admitted", B, key="UB"))
    await record(log, admitted, own_word)
    assert [row.revoked for row in await keys(log)] == [None]
    await log.write(lambda tx: tx.append(revoked))
    await record(log, again, a.seal(cluster("revoked", B, key="UB", time="t3")))
    assert [(row.revoked, row.seq) for row in await keys(log)] == [("t2", 2)]


async def test_of_what_several_tiers_above_have_heard_before_they_revoked_all_counts(log: Log[Event]) -> None:
    """In whatever order their words come: else one tier would refuse for ever what another holds."""
    words = [[[EPOCH, 3], [LATER, 1], ["bad"], "bad"], [[EPOCH, 2], [LATER, 9]]]
    for key, order in (("U1", words), ("U2", words[::-1])):
        a = Source(f"{A}.{key.lower()}")
        for through in order:
            await record(log, a.seal(cluster("revoked", f"{a.path}.x", key=key, through=through)))
    assert [row.through for row in await keys(log)] == [{EPOCH: 3, LATER: 9}] * 2


async def test_a_word_of_revocation_may_come_before_the_admission(log: Log[Event]) -> None:
    a = Source(A)
    admitted, revoked = a.seal(cluster("admitted", B, key="UB")), a.seal(cluster("revoked", B, key="UB", time="t"))
    await record(log, revoked)
    assert [(row.by, row.revoked) for row in await keys(log)] == [("", "t")]
    await record(log, admitted)
    assert [(row.by, row.revoked) for row in await keys(log)] == [(A, "t")]

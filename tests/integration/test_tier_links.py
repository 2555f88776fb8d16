"""Links that fail: what was sent meanwhile arrives in order and once, what was done meanwhile is replayed with
its own times, and every tier says who is away and since when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bus.errors import NotFound
from bus.event import now, parse_time
from tests.integration.tiers import HEARTBEAT, Answer, LocalTier, Tier, Tiers, config
from tests.support import eventually

#: Who was not heard for so long is offline (seconds).
SILENCE = 3 * HEARTBEAT

SITE1, SITE2, SITE3 = "root.east.site1", "root.east.site2", "root.west.site3"


@pytest.fixture
async def root(tiers: Tiers) -> LocalTier:
    root = await tiers.grow("root", shims=())
    east = await tiers.grow("root.east", root, shims=())
    await asyncio.gather(tiers.grow(SITE1, east, tags=["camera"]), tiers.grow(SITE2, east, tags=["camera"]))
    return root


async def ids(tier: Tier, to: str, count: int) -> list[str]:
    return [(await tier.submit(to, f"n{number}"))["id"] for number in range(count)]


async def shared(tier: Tier, under: str) -> dict[str, Answer]:
    """What a tier holds of the streams of these sources, by id."""
    return {event["id"]: event for event in await tier.log(source=f"under:{under}") if "seq" in event}


async def agree(*tiers: Tier, under: str) -> None:
    """The logs come to hold the same of these sources."""

    async def same() -> bool:
        first, *rest = [await shared(tier, under) for tier in tiers]
        return all(first == other for other in rest)

    await eventually(same, what=f"{[tier.path for tier in tiers]} agree on {under}")


async def test_what_was_sent_while_cut_arrives_in_order_and_once(root: LocalTier, tiers: Tiers) -> None:
    before = await ids(root, "site1", 2)
    for id in before:
        await root.done(id)
    await tiers[SITE1].link.cut()
    sent = await ids(root, "site1", 30)
    assert (await root.command(sent[0]))["summary"] == {"accepted": 1}
    await tiers[SITE1].link.heal()
    for id in sent:
        await root.done(id)
    await tiers[SITE1].tells("received", SITE1, before + sent)
    await tiers[SITE1].tells("succeeded", SITE1, before + sent)
    await root.tells("received", SITE1, before + sent)
    after = await root.submit("site1", "after", wait=30)
    assert after["summary"] == {"succeeded": 1}
    await agree(root, tiers["root.east"], tiers[SITE1], under=SITE1)


async def test_what_was_done_while_cut_is_replayed_with_its_own_times(root: LocalTier, tiers: Tiers) -> None:
    site = tiers[SITE1]
    await site.link.cut()
    own = await site.submit("site1", "own", wait=30)
    assert own["summary"] == {"succeeded": 1}
    done = await site.done(own["id"])
    cut = now()
    with pytest.raises(NotFound):
        await root.command(own["id"])
    await site.link.heal()
    seen = await eventually(lambda: _found(root, own["id"]))
    target = seen["targets"][SITE1]
    assert seen["submitted"] == done["submitted"] < cut
    for receipt in ("accepted", "delivered", "executed"):
        assert target["receipts"][receipt] == done["targets"][SITE1]["receipts"][receipt] < cut
    assert target["receipts"]["observed"] > cut
    assert target["state"] == "succeeded"
    await agree(root, tiers["root.east"], site, under=SITE1)


async def _found(tier: Tier, id: str) -> Answer | None:
    try:
        answer = await tier.command(id)
    except NotFound:
        return None
    return answer if answer["summary"] == {"succeeded": 1} else None


async def test_a_site_that_is_cut_off_is_offline_since_it_was_last_heard(root: LocalTier, tiers: Tiers) -> None:
    await tiers[SITE1].link.cut()
    for above in (tiers["root.east"], root):
        row = await above.sees(SITE1, "offline")
        assert "reason" not in row
        assert _seconds(now()) - _seconds(row["since"]) >= SILENCE, "since then, and not since it was noticed"
    await root.submit("site1", "shop")
    await root.submit("site1", "shop")
    lag = (await root.clusters())[SITE1]["lag"]
    assert lag["events"] == 2
    await eventually(lambda: _lag_above(root, SITE1, lag["seconds"]))
    healed = now()
    await tiers[SITE1].link.heal()
    for above in (tiers["root.east"], root):
        row = await above.sees(SITE1, "online")
        assert row["since"] > healed
    await eventually(lambda: _no_lag(root, SITE1))
    events = [(e["type"], e["data"]["path"]) for e in await root.log(source="root.east") if "cluster" in e["type"]]
    assert [kind for kind, path in events if path == SITE1] == [
        "ote.cluster.joined.v1",
        "ote.cluster.offline.v1",
        "ote.cluster.online.v1",
    ]


def _seconds(time: str) -> float:
    return parse_time(time).timestamp()


async def _lag_above(tier: Tier, path: str, seconds: float) -> bool:
    return bool((await tier.clusters())[path]["lag"]["seconds"] > seconds)


async def _no_lag(tier: Tier, path: str) -> bool:
    return bool((await tier.clusters())[path]["lag"] == {"events": 0, "seconds": 0.0})


async def test_sites_behind_a_region_that_is_cut_off_are_offline_with_the_reason(root: LocalTier, tiers: Tiers) -> None:
    east = tiers["root.east"]
    west = await tiers.grow("root.west", root, shims=())
    await tiers.grow(SITE3, west, tags=["camera"])
    await east.link.cut()
    region = await root.sees("root.east", "offline")
    assert "reason" not in region
    for path in (SITE1, SITE2):
        row = (await root.clusters())[path]
        assert (row["state"], row["reason"], row["since"]) == ("offline", "behind root.east", region["since"])
    assert (await root.clusters())[SITE3]["state"] == "online"
    for path in ("root.east", SITE1, SITE2):
        assert (await east.clusters())[path]["state"] == "online"

    mine = await root.submit("tag:camera", "root-wish", wait=2.0)
    assert mine["summary"] == {"accepted": 2, "succeeded": 1}
    theirs = await east.submit("tag:camera", "east-wish", wait=30)
    assert (theirs["summary"], set(theirs["targets"])) == ({"succeeded": 2}, {SITE1, SITE2})

    await east.link.heal()
    for path in ("root.east", SITE1, SITE2):
        await root.sees(path, "online")
    assert (await root.done(mine["id"]))["summary"] == {"succeeded": 3}
    await eventually(lambda: _summary(root, theirs["id"], {"succeeded": 2}))
    for path in (SITE1, SITE2):
        await tiers[path].tells("received", path, [theirs["id"], mine["id"]])
    await agree(root, east, under="root.east")


async def _summary(tier: Tier, id: str, summary: dict[str, int]) -> bool:
    try:
        return bool((await tier.command(id))["summary"] == summary)
    except NotFound:
        return False


async def test_every_tier_is_a_control_entry_for_its_own_subtree_only(root: LocalTier, tiers: Tiers) -> None:
    site, east = tiers[SITE1], tiers["root.east"]
    await site.link.cut()
    await east.link.cut()
    alone = await site.submit(f"path:{SITE1}", "mine", wait=30)
    assert alone["summary"] == {"succeeded": 1}
    for tier, to in ((site, "site2"), (site, "root.east"), (east, "root")):
        with pytest.raises(NotFound) as caught:
            await tier.submit(to, "theirs")
        assert caught.value.field == "to"
        assert f"under {tier.path}" in caught.value.message
    with pytest.raises(NotFound) as caught:
        await site.submit("under:root.east", "theirs")
    assert caught.value.hint == f"this tier commands what is at or below {SITE1}"
    await site.link.heal()
    await east.link.heal()
    await eventually(lambda: _found(root, alone["id"]))
    both = await root.submit("tag:camera", "both", wait=30)
    assert both["summary"] == {"succeeded": 2}


async def test_a_link_that_hangs_loses_nothing(root: LocalTier, tiers: Tiers) -> None:
    site = tiers[SITE1]
    await site.link.hang()
    sent = await ids(root, "site1", 5)
    own = await site.submit("site1", "own", wait=30)
    await root.sees(SITE1, "offline")
    assert (await root.command(sent[0]))["summary"] == {"accepted": 1}
    await site.link.heal()
    await root.sees(SITE1, "online")
    for id in sent:
        await root.done(id)
    await eventually(lambda: _found(root, own["id"]))
    assert [id for id in await site.told("received", SITE1) if id != own["id"]] == sent
    await agree(root, tiers["root.east"], site, under=SITE1)


async def test_a_link_that_flaps_while_commands_are_sent(root: LocalTier, tiers: Tiers) -> None:
    site, east = tiers[SITE1], tiers["root.east"]

    async def flap() -> None:
        for link in (site.link, east.link, site.link):
            await link.cut()
            await root.submit("site2", "tick")
            await link.heal()
            await asyncio.sleep(0.05)

    flapping = asyncio.create_task(flap())
    sent: list[str] = []
    while not flapping.done() or len(sent) < 60:
        sent.append((await root.submit("site1", f"n{len(sent)}"))["id"])
    await flapping
    for id in sent:
        await root.done(id, 15)
    await site.tells("received", SITE1, sent)
    await root.tells("succeeded", SITE1, sent)
    await agree(root, east, site, under=SITE1)


async def test_a_tier_on_the_way_that_was_stopped_is_brought_up_to_date(root: LocalTier, tiers: Tiers) -> None:
    """Its server goes with it, so that the sites below are cut off too."""
    east, site = tiers["root.east"], tiers[SITE1]
    before = await root.submit("tag:camera", "before", wait=30)
    await root.done(before["id"])
    await east.stop()
    sent = await root.submit("tag:camera", "during")
    own = await site.submit("site1", "own", wait=30)
    await root.sees(SITE1, "offline")
    await east.start()
    await root.sees(SITE1, "online", 15)
    assert (await root.done(sent["id"], 15))["summary"] == {"succeeded": 2}
    await eventually(lambda: _found(root, own["id"]))
    await site.tells("received", SITE1, [before["id"], own["id"], sent["id"]])
    await agree(root, east, site, under=SITE1)


async def test_a_site_that_was_stopped_goes_on_where_it_was(root: LocalTier, tiers: Tiers) -> None:
    site = tiers[SITE1]
    first = await root.submit("site1", config("shop", color="red"), wait=30)
    await site.stop()
    await root.sees(SITE1, "offline")
    sent = await ids(root, "site1", 5)
    await site.start()
    await root.sees(SITE1, "online")
    for id in sent:
        await root.done(id)
    await site.tells("received", SITE1, [first["id"], *sent])
    got: Any = await root.submit("site1", {"verb": "get", "args": {"kind": "ConfigMap", "name": "shop"}}, wait=30)
    assert got["targets"][SITE1]["result"]["data"] == {"color": "red"}
    epochs = {event["epoch"] for event in await root.log(source=SITE1)}
    assert len(epochs) == 1

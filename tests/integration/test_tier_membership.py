"""Who is in the tree: joining, going and coming back, and a second cluster that claims a path which is taken."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bus.errors import NotFound, OteError
from bus.event import now
from tests.integration.tiers import Answer, LocalTier, Tier, Tiers
from tests.support import eventually

EAST, SITE = "root.east", "root.east.site"


@pytest.fixture
async def root(tiers: Tiers) -> LocalTier:
    root = await tiers.grow("root", shims=())
    east = await tiers.grow(EAST, root, shims=())
    await tiers.grow(SITE, east, tags=["camera"])
    return root


async def said(tier: Tier, path: str) -> list[str]:
    """What is in a tier's log about the coming and going of a cluster."""
    kinds = ("joined", "offline", "online", "refused")
    events = [event for kind in kinds for event in await tier.log(type=f"ote.cluster.{kind}.v1")]
    events.sort(key=lambda event: int(event["seq"]))
    return [event["type"].split(".")[2] for event in events if event["data"]["path"] == path]


async def test_coming_going_and_coming_back_are_events_of_the_parent(root: LocalTier, tiers: Tiers) -> None:
    assert await said(root, EAST) == ["joined"]
    await tiers[EAST].link.cut()
    cut = now()
    away = await root.sees(EAST, "offline")
    assert away["since"] < cut or away["since"][:19] == cut[:19]
    await tiers[EAST].link.heal()
    back = await root.sees(EAST, "online")
    assert back["since"] > cut
    assert await said(root, EAST) == ["joined", "offline", "online"]
    joined = (await root.log(type="ote.cluster.joined.v1", source="root"))[0]
    assert joined["data"] == {"path": EAST, "attached_to": "root"}
    # Below, nothing was ever amiss.
    assert await said(tiers[EAST], SITE) == ["joined"]


async def test_a_cluster_that_stops_and_starts_is_not_refused(root: LocalTier, tiers: Tiers) -> None:
    site = tiers[SITE]
    for _ in range(2):
        await site.stop()
        await site.start()
        await root.sees(SITE, "online")

        async def new_instance() -> bool:
            status = await site.ask("status")
            return bool(status["link"]["state"] == "up")

        await eventually(new_instance)
    assert "refused" not in await said(tiers[EAST], SITE)
    assert (await root.submit("site", "shop", wait=30))["summary"] == {"succeeded": 1}


async def refused(tier: Tier) -> Answer:
    """The link of a tier once it was refused."""
    link: Answer = {}

    async def told() -> bool:
        link.update((await tier.ask("status"))["link"])
        return bool(link["state"] == "refused")

    await eventually(told)
    return link


async def test_a_second_living_cluster_with_the_same_path_is_refused(root: LocalTier, tiers: Tiers) -> None:
    east, site = tiers[EAST], tiers[SITE]
    before = (await east.clusters())[SITE]
    with capture_logs() as logged:
        second = await tiers.grow(SITE, east, tags=["impostor"], wait=False)
        link = await refused(second)
    assert [entry["reason"] for entry in logged if entry.get("ancestor") == EAST] == [link["reason"]]
    assert "another living cluster has the path root.east.site" in link["reason"]
    assert site.info["instance"] in link["reason"]
    # It keeps on asking, and is told so once.
    asked = now()

    async def asked_again() -> bool:
        status = await second.ask("status")
        return bool(status["link"]["state"] == "refused" and now() > asked)

    await eventually(asked_again)
    events = await east.log(type="ote.cluster.refused.v1")
    assert [(e["data"]["path"], e["data"]["instance"]) for e in events] == [(SITE, second.info["instance"])]
    assert events[0]["data"]["owner"] == site.info["instance"]
    # Nobody above took it for the true one, and what is sent goes to the true one alone.
    for above in (root, east):
        row = (await above.clusters())[SITE]
        assert (row["tags"], row["state"]) == (before["tags"], "online")
        with pytest.raises(NotFound):
            await above.submit("tag:impostor", "shop")
    done = await root.submit("site", "shop", wait=30)
    assert done["summary"] == {"succeeded": 1}
    await site.tells("succeeded", SITE, [done["id"]])
    await second.tells("received", SITE, [])
    # What it does by itself is its own affair.
    own = await second.submit("site", "own", wait=30)
    assert own["summary"] == {"succeeded": 1}
    marked = await root.submit("site", "marked", wait=30)
    await root.done(marked["id"])
    for above in (root, east):
        assert {event["epoch"] for event in await above.log(source=SITE)} == {site.runtime.log.epoch}  # type: ignore[attr-defined]


async def test_the_second_is_admitted_when_the_first_is_gone(root: LocalTier, tiers: Tiers) -> None:
    east = tiers[EAST]
    second = await tiers.grow(SITE, east, tags=["spare"], wait=False)
    await refused(second)
    await tiers[SITE].stop()

    async def taken_over() -> bool:
        return (await root.clusters())[SITE]["tags"] == ["spare"]

    await eventually(taken_over)
    assert (await second.ask("status"))["link"]["state"] == "up"
    assert (await root.submit("tag:spare", "shop", wait=30))["summary"] == {"succeeded": 1}


async def test_the_first_is_refused_when_it_comes_back_and_another_has_its_path(root: LocalTier, tiers: Tiers) -> None:
    """It was cut off, and could not defend its path."""
    east, first = tiers[EAST], tiers[SITE]
    await first.link.cut()
    await root.sees(SITE, "offline")
    second = await tiers.grow(SITE, east, tags=["spare"], wait=False)
    await root.sees(SITE, "online")
    await first.link.heal()
    link = await refused(first)
    assert second.info["instance"] in link["reason"]
    done = await root.submit("site", "shop", wait=30)
    assert done["summary"] == {"succeeded": 1}
    await second.tells("succeeded", SITE, [done["id"]])
    assert done["id"] not in await first.told("received", SITE)


async def test_two_tiers_on_one_directory_are_refused_at_start(root: LocalTier, tiers: Tiers) -> None:
    with pytest.raises(OteError, match="another tier runs on"):
        await tiers.grow(SITE, tiers[EAST], state=tiers[SITE].state, wait=False)
    assert (await root.submit("site", "shop", wait=30))["summary"] == {"succeeded": 1}


async def test_a_parent_that_starts_again_knows_its_children(root: LocalTier, tiers: Tiers) -> None:
    east = tiers[EAST]
    await east.stop()
    await root.sees(EAST, "offline")
    await east.start()
    await root.sees(EAST, "online", 15)
    await east.sees(SITE, "online", 15)
    assert (await root.submit("site", "shop", wait=30))["summary"] == {"succeeded": 1}


async def test_many_join_at_once(tiers: Tiers, tmp_path: Path) -> None:
    root = await tiers.grow("root", shims=())
    names = [f"root.n{number}" for number in range(12)]
    await asyncio.gather(*(tiers.grow(path, root, tags=["many"], wait=False) for path in names))
    for path in names:
        await root.sees(path, "online")
    done = await root.submit("tag:many", "shop", wait=30)
    assert (done["summary"], list(done["targets"])) == ({"succeeded": 12}, sorted(names))

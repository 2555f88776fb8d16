"""Logs that are restored, cut short, wiped or lived twice (DESIGN 6.8): each is noticed, resolved by rule, and recorded
where people look. Nothing is lost, doubled or reordered, and what nobody can know is in doubt."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from bus.errors import NotFound
from bus.shim_messages import WatchAnswer
from bus.types import FORKED, OFFLINE, ONLINE, REFUSED_CLUSTER, RENEWED
from services.shims.base import Answer, Request, Verb, description_of
from services.tier import marker
from tests.integration.tiers import LocalTier, Tier, Tiers
from tests.support import eventually

REGION, SITE = "root.region", "root.region.site"
LOG = ("log.db", "log.db-wal", "log.db-shm")


class Counter:
    """A shim outside the log, with a verb that is not safe to repeat: it counts what it did."""

    kind = "count"
    verbs: Final[Mapping[str, Verb]] = {"bump": Verb(False)}

    def __init__(self) -> None:
        self.done: list[str] = []

    async def describe(self) -> Any:
        return description_of(self.kind, self.verbs)

    async def execute(self, request: Request) -> Answer:
        self.done.append(request.id)
        return Answer.done({"count": len(self.done)})

    async def watch(self) -> AsyncIterator[WatchAnswer]:
        """It has no objects."""
        for answer in list[WatchAnswer]():
            yield answer


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
async def site(tiers: Tiers, counter: Counter) -> LocalTier:
    """A site below a region below a root."""
    root = await tiers.grow("root", shims=())
    region = await tiers.grow(REGION, root)
    return await tiers.grow(SITE, region, shims=["local", counter])


def copy(state: Path, to: Path, *, marked: bool = False) -> None:
    """A backup of a tier that is stopped; with its marker it is a copy of the whole disk."""
    to.mkdir(exist_ok=True)
    for name in (*LOG, *([marker.NAME] if marked else [])):
        (to / name).unlink(missing_ok=True)
        if (state / name).exists():
            shutil.copy(state / name, to / name)


def the(tiers: Tiers, path: str) -> LocalTier:
    found = tiers[path]
    assert isinstance(found, LocalTier)
    return found


async def bump(tier: Tier) -> str:
    return str((await tier.submit(SITE, {"shim": "count", "verb": "bump"}))["id"])


async def renewals(tier: Tier, source: str) -> list[dict[str, Any]]:
    return [event["data"] for event in await tier.log(type=RENEWED, source=source)]


async def said(tier: Tier, source: str) -> list[dict[str, Any]]:
    """The same, once there are any."""
    return await eventually(lambda: renewals(tier, source), what=f"{tier.path} knows of it")


async def knows(tier: LocalTier, other: LocalTier) -> None:
    """Returns when a tier knows in which life the log of another is: what is sent to an earlier one may be in doubt."""
    registry = tier.controller.registry
    await eventually(lambda: registry.epoch(other.path) == other.runtime.log.epoch, what=f"{tier.path} knows")


async def are_done(tier: Tier, *ids: str) -> None:
    """Returns when this tier knows all of these, and that they succeeded."""

    async def known() -> bool:
        try:
            found = [(await tier.command(id))["summary"] for id in ids]
        except NotFound as error:
            raise AssertionError(error.message) from error
        assert found == [{"succeeded": 1}] * len(ids)
        return True

    await eventually(known, what=f"{tier.path} knows that all is done")


@pytest.mark.parametrize("path", ["root", REGION])
@pytest.mark.parametrize("marked", [False, True])
async def test_an_origin_that_is_restored_gets_back_what_it_had_sent(
    site: LocalTier, tiers: Tiers, counter: Counter, tmp_path: Path, path: str, marked: bool
) -> None:
    origin = the(tiers, path)
    before = [await bump(origin) for _ in range(3)]
    await are_done(origin, *before)
    await origin.stop()
    copy(origin.state, tmp_path / "backup", marked=marked)
    await origin.start()
    await origin.sees(SITE, "online")
    lost = [await bump(origin) for _ in range(3)]
    await are_done(origin, *lost)
    await origin.stop()
    copy(tmp_path / "backup", origin.state, marked=marked)
    await origin.start()
    await are_done(origin, *before, *lost)
    await origin.sees(SITE, "online")
    await knows(origin, site)
    after = await bump(origin)
    await are_done(origin, after)
    assert counter.done == [*before, *lost, after]
    for tier in {"root", path}:
        [told] = await said(tiers[tier], path)
        # Without the marker, whoever was greeted first has shown it: the ancestor, or the one below.
        assert told["why"] == ("lost" if marked else "restored")


async def test_an_origin_whose_disk_is_an_old_copy_does_not_lose_what_it_says_before_anybody_tells_it(
    site: LocalTier, tiers: Tiers, counter: Counter, tmp_path: Path
) -> None:
    root = the(tiers, "root")
    await root.stop()
    copy(root.state, tmp_path / "backup", marked=True)
    await root.start()
    await root.sees(SITE, "online")
    lost = [await bump(root) for _ in range(2)]
    await are_done(root, *lost)
    await tiers[REGION].link.cut()
    await root.stop()
    copy(tmp_path / "backup", root.state, marked=True)
    await root.start()
    # They get the numbers, and the places, of those that are lost.
    again = [await bump(root) for _ in range(3)]
    assert await renewals(root, "root") == []
    await tiers[REGION].link.heal()
    await are_done(root, *lost, *again)
    assert sorted(counter.done) == sorted([*lost, *again])
    assert counter.done[-3:] == again
    [told] = await said(root, "root")
    assert told["why"] in ("forked", "lost") and told["shown_by"] in (REGION, SITE)


async def test_a_site_that_is_restored_does_nothing_twice(
    site: LocalTier, tiers: Tiers, counter: Counter, tmp_path: Path
) -> None:
    root = the(tiers, "root")
    await site.stop()
    copy(site.state, tmp_path / "backup")
    await site.start()
    await root.sees(SITE, "online")
    done = [await bump(root) for _ in range(3)]
    kept = (await root.submit(SITE, "kept"))["id"]
    await are_done(root, *done, kept)
    await site.stop()
    copy(tmp_path / "backup", site.state)
    await site.start()
    await knows(root, site)
    after = [await bump(root)]
    await are_done(root, *after)
    await are_done(site, *done, kept, *after)
    assert counter.done == done + after
    assert [told["why"] for told in await renewals(root, SITE)] == ["restored"]
    listed = await root.submit(SITE, {"verb": "list", "args": {"kind": "ConfigMap"}}, wait=30)
    names = [item["metadata"]["name"] for item in listed["targets"][SITE]["result"]["items"]]
    assert names == ["kept"]


async def test_a_site_that_lost_its_log_executes_nothing_until_it_has_its_history(
    site: LocalTier, tiers: Tiers, counter: Counter
) -> None:
    root = the(tiers, "root")
    done = await bump(root)
    await are_done(root, done)
    await site.stop()
    for name in LOG:
        (site.state / name).unlink(missing_ok=True)
    await site.link.cut()
    await site.start()
    own = (await site.submit(SITE, {"shim": "count", "verb": "bump"}))["id"]
    status = await site.ask("status")
    assert status["log"]["waits"]
    assert counter.done == [done]
    await site.link.heal()
    await are_done(site, own, done)
    await are_done(root, own, done)
    assert counter.done == [done, own]
    assert not (await site.ask("status"))["log"]["waits"]


async def test_a_region_that_is_restored_says_again_who_is_there(site: LocalTier, tiers: Tiers, tmp_path: Path) -> None:
    """What its lost log had said last, and came to others only, may be that a child is offline."""
    root, region = the(tiers, "root"), the(tiers, REGION)

    async def told(*kinds: str) -> int:
        """How often the root has heard that in the region's present life."""
        found = [event for kind in kinds for event in await root.log(type=kind, source=REGION)]
        life = region.runtime.log.epoch
        return sum(event["data"]["path"] == SITE and event["epoch"] == life for event in found)

    await root.sees(SITE, "online")
    await region.stop()
    copy(region.state, tmp_path / "backup")
    await region.start()
    await are_done(region, await bump(region))
    await region.stop()
    copy(tmp_path / "backup", region.state)
    await region.start()
    # In the copy it is there already.
    await eventually(lambda: told(ONLINE), what="the root hears again that the site is there")
    # Once in this life, also when it is cut off and started again; and whenever it had been away.
    await region.link.cut()
    await region.stop()
    await region.start()
    await region.link.heal()
    await are_done(root, await bump(root))
    await root.sees(SITE, "online")
    assert await told(ONLINE) <= 1 + await told(OFFLINE)


async def test_what_a_site_may_have_done_in_a_log_that_is_lost_is_in_doubt(
    site: LocalTier, tiers: Tiers, counter: Counter, tmp_path: Path
) -> None:
    root = the(tiers, "root")
    await site.stop()
    copy(site.state, tmp_path / "backup")
    await site.start()
    await root.sees(SITE, "online")
    # The site hears of it, does it, and is gone before it can tell.
    arrived, told = counter.execute, asyncio.Event()

    async def execute(request: Request) -> Answer:
        answer = await arrived(request)
        await site.link.cut()
        told.set()
        return answer

    counter.execute = execute  # type: ignore[method-assign]
    doubtful = await bump(root)
    await asyncio.wait_for(told.wait(), 30)
    counter.execute = arrived  # type: ignore[method-assign]
    await site.stop()
    copy(tmp_path / "backup", site.state)
    await site.link.heal()
    await site.start()
    await root.becomes(doubtful, SITE, "in-doubt")
    assert counter.done == [doubtful]
    await root.ask("resolve", {"id": doubtful, "target": SITE, "as": "done"})
    await are_done(root, doubtful)
    after = await bump(root)
    await are_done(root, after)
    assert counter.done == [doubtful, after]


async def test_a_clone_is_refused_and_whoever_of_the_two_comes_later_begins_another_life(
    site: LocalTier, tiers: Tiers, counter: Counter, tmp_path: Path
) -> None:
    root, region = the(tiers, "root"), the(tiers, REGION)
    first = await bump(root)
    await are_done(root, first)
    await site.stop()
    state = tmp_path / "clone"
    # On a machine of its own it would have the same ports.
    shutil.copytree(site.state, state, ignore=shutil.ignore_patterns("nats.*", "tier.json"))
    await site.start()
    await eventually(lambda: is_linked(site), what="the site is admitted")
    clone = await tiers.grow(SITE, region, shims=["local", counter], state=state, wait=False)
    assert (await eventually(lambda: refused(clone), what="the clone is told"))["parent"] == REGION
    assert await region.log(type=REFUSED_CLUSTER) != []
    second = await bump(root)
    await are_done(root, second)
    # The two change places: each has said things that the other has not.
    await site.stop()
    await eventually(lambda: is_linked(clone), what="the clone has the path")
    await knows(root, clone)
    third = await bump(root)
    await are_done(root, third)
    await are_done(clone, first, second, third)
    assert [told["why"] for told in await renewals(root, SITE)][-1] in ("lost", "forked")
    await clone.stop()
    await site.start()
    await eventually(lambda: is_linked(site), what="the site has its path again")
    await knows(root, site)
    fourth = await bump(root)
    await are_done(root, fourth)
    await are_done(site, first, second, third, fourth)
    assert counter.done == [first, second, third, fourth]
    assert [told["shown_by"] for told in await renewals(root, SITE)] == [REGION, REGION]
    # What it said on its old copy before it was told, is told as a fork; and nobody else has one.
    assert {event["source"] for event in await region.log(type=FORKED)} <= {SITE}


async def is_linked(tier: Tier) -> bool:
    return bool((await tier.ask("status"))["link"]["state"] == "up")


async def refused(tier: Tier) -> dict[str, Any] | None:
    link: dict[str, Any] = (await tier.ask("status"))["link"]
    return link if link["state"] == "refused" else None

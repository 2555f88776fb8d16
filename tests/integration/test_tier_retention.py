"""Tiers that keep nothing they need not: commands go their way, tiers start again, and who lost his log is in step
with those that have compacted theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bus.event import Event
from bus.types import ANNOUNCED, FINALS
from services.controller.delivery import repair
from services.tier.retention import retention
from services.tier.settings import TierSettings
from store.compaction import Retention, compact
from store.verify import verify
from tests.integration.test_tier_lives import lose
from tests.integration.tiers import LocalTier, Tiers
from tests.support import eventually

REGION, SITE = "root.a", "root.a.x"
FORGETFUL: dict[str, Any] = {"retain_for": 0.0, "retention_interval": 0.1}


@pytest.fixture
async def tree(tiers: Tiers) -> Tiers:
    """A root, a region and a site, each of which compacts as soon as it may."""
    root = await tiers.grow("root", shims=(), **FORGETFUL)
    region = await tiers.grow(REGION, root, shims=(), **FORGETFUL)
    await tiers.grow(SITE, region, **FORGETFUL)
    return tiers


def local(tiers: Tiers, path: str) -> LocalTier:
    tier = tiers[path]
    assert isinstance(tier, LocalTier)
    return tier


async def send(tiers: Tiers, count: int, **more: Any) -> list[str]:
    """Commands to the site that are done, as the root knows."""
    ids = [(await tiers["root"].submit(SITE, f"c{number}", **more))["id"] for number in range(count)]
    for id in ids:
        await tiers["root"].done(id)
    return ids


async def events(tier: LocalTier) -> list[Event]:
    return [stored.event for stored in await tier.runtime.log.read(lambda reader: reader.events(limit=10_000))]


async def forgotten(tiers: Tiers, *ids: str) -> None:
    """Returns when only the site itself still has events of these commands, and no more than their finals."""

    async def gone() -> bool:
        for path in ("root", REGION, SITE):
            # The last event always stays.
            about = [e for e in (await events(local(tiers, path)))[:-1] if e.data.get("command") in ids]
            left = [event.type for event in about if path != SITE or event.type not in FINALS]
            assert not left, (path, left)
        return True

    await eventually(gone, what="the past is compacted away everywhere")


async def in_step(tiers: Tiers) -> None:
    """Returns when nobody lacks what another has to give: mail from above, streams from below."""

    async def held(path: str, positions: Callable[..., dict[Any, int]], below: str) -> dict[Any, int]:
        return await local(tiers, path).runtime.log.read(lambda reader: positions(reader, below))

    async def same() -> bool:
        for below, above in ((SITE, REGION), (SITE, "root"), (REGION, "root")):
            mail = [await held(path, repair.mail_from_above, below) for path in (above, below)]
            assert mail[0].items() <= mail[1].items(), (below, above)
            streams = [await held(path, repair.streams_from_below, below) for path in (below, above)]
            assert streams[0].items() <= streams[1].items(), (below, above)
        return True

    await eventually(same, what="the tiers are in step")


async def whole(tiers: Tiers) -> None:
    for path in ("root", REGION, SITE):
        tier = local(tiers, path)
        await tier.runtime.log.flush()
        assert await asyncio.to_thread(verify, tier.state / "log.db", Event.decode) == [], path


async def restart(tier: LocalTier, *, without_log: bool = False) -> None:
    await tier.stop()
    if without_log:
        lose(tier.state)
    await tier.start()


async def test_what_all_have_goes_and_the_rest_goes_on(tree: Tiers) -> None:
    ids = await send(tree, 5)
    await forgotten(tree, *ids)
    for path in ("root", REGION, SITE):
        found = await tree[path].command(ids[0])
        assert found["summary"] == {"succeeded": 1}, "what became of it is known everywhere"
    assert (await tree[SITE].target(ids[0], SITE))["result"], "its result where it was carried out"
    await local(tree, SITE).link.cut()
    waiting = (await tree["root"].submit(SITE, "waits"))["id"]
    await asyncio.gather(*(restart(local(tree, path)) for path in ("root", REGION)))
    await local(tree, SITE).link.heal()
    await tree["root"].done(waiting, 20)
    for path in ("root", REGION, SITE):
        await restart(local(tree, path))
    await tree["root"].sees(SITE, "online", 20)
    more = await send(tree, 3, key="k")
    await forgotten(tree, waiting, *more[:2])
    kept = [e for e in await events(local(tree, "root")) if e.data.get("command") == more[2]]
    assert kept, "the last of its key stays"
    status = await tree["root"].ask("status")
    assert status["log"]["oldest"] is not None
    await in_step(tree)
    await whole(tree)


async def test_an_open_command_stays_however_long_it_takes(tree: Tiers) -> None:
    await local(tree, SITE).link.cut()
    waiting = (await tree["root"].submit(SITE, "waits"))["id"]
    ids = [(await tree["root"].submit(REGION + ".>", "x" * n))["id"] for n in (1, 2)]
    site = local(tree, SITE)
    alone = (await tree[SITE].submit(SITE, "alone"))["id"]
    await tree[SITE].done(alone)
    # Those above do not hold what it says now: nothing of it may go.
    said = {event.id for event in await events(site) if event.data.get("command") == alone and event.seq is not None}
    assert len(said) == 3
    await restart(site)
    compacted = await compact(site.runtime.log, Retention(older_than=0))
    assert compacted.looked
    assert said <= {event.id for event in await events(site)}
    await local(tree, SITE).link.heal()
    for id in (waiting, *ids):
        await tree["root"].done(id, 20)
    await eventually(lambda: _is_done(tree, alone), what="what was done alone is known above")
    await whole(tree)


async def _is_done(tiers: Tiers, id: str) -> bool:
    row = await local(tiers, "root").runtime.log.read(lambda reader: reader.target(id, SITE))
    return row is not None and row.state == "succeeded"


@pytest.mark.parametrize("path", ["root", REGION])
async def test_an_ancestor_that_lost_its_log_is_in_step_again(tree: Tiers, path: str) -> None:
    ids = await send(tree, 5)
    await forgotten(tree, *ids)
    await restart(local(tree, path), without_log=True)
    await tree["root"].sees(SITE, "online", 20)
    await in_step(tree)

    async def told() -> bool:
        finals = [await local(tree, path).runtime.log.read(lambda reader, id=id: reader.target(id, SITE)) for id in ids]
        return all(row is not None and row.state == "succeeded" for row in finals)

    await eventually(told, what="it has the finals of its earlier life from the site that wrote them")
    more = await send(tree, 3)
    await forgotten(tree, *more)
    shipped = local(tree, SITE).controller.asker.shipped.events
    await in_step(tree)
    assert local(tree, SITE).controller.asker.shipped.events - shipped < 20
    await whole(tree)


async def test_a_target_that_lost_its_log_goes_on_behind_what_was_compacted(tree: Tiers) -> None:
    ids = await send(tree, 5)
    kept = await send(tree, 2, key="wish")
    await forgotten(tree, *ids, kept[0])
    await restart(local(tree, SITE), without_log=True)
    await tree["root"].sees(SITE, "online", 20)
    more = await send(tree, 3)
    await in_step(tree)
    objects = await local(tree, SITE).runtime.log.read(lambda reader: reader.objects(kind="ConfigMap"))
    assert {one["metadata"]["name"] for one in objects} >= {"c0", "c1", "c2"}
    await forgotten(tree, *more)
    await restart(local(tree, SITE))
    await tree["root"].sees(SITE, "online", 20)
    await send(tree, 1)
    await whole(tree)


async def test_an_announcement_stays(tree: Tiers) -> None:
    await forgotten(tree, *await send(tree, 2))
    for path in ("root", REGION, SITE):
        kinds = [e.source for e in await events(local(tree, path)) if e.type == ANNOUNCED]
        assert SITE in kinds
    assert (await tree["root"].clusters())[SITE]["state"] == "online"


def test_off_by_default(tmp_path: Path) -> None:
    settings = TierSettings(path="root", state=tmp_path)
    assert retention(settings) is None
    assert retention(settings.model_copy(update={"retain_bytes": 5})) is not None

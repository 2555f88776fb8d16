"""A log that is lost begins another life: its commands are not taken for old ones, nothing that is open is
forgotten, and nothing is done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.tiers import LocalTier, Tier, Tiers
from tests.support import eventually

SITE = "root.site"


@pytest.fixture
async def root(tiers: Tiers) -> LocalTier:
    root = await tiers.grow("root", shims=())
    await tiers.grow(SITE, root)
    return root


def lose(state: Path) -> None:
    """The log is gone; server and ports are kept."""
    for end in ("", "-wal", "-shm"):
        (state / f"log.db{end}").unlink(missing_ok=True)


async def restart_without_log(tier: Tier) -> None:
    await tier.stop()
    lose(tier.state)
    await tier.start()


async def test_an_origin_that_lost_its_log_is_heard_again(root: LocalTier, tiers: Tiers) -> None:
    for number in range(5):
        await root.done((await root.submit(SITE, f"before{number}"))["id"])
    # A second time too: the random part of an epoch sorts by chance.
    for life in range(2):
        await restart_without_log(root)
        await root.sees(SITE, "online")
        sent = [(await root.submit(SITE, f"after{life}-{number}"))["id"] for number in range(5)]
        for id in sent:
            await root.done(id)
        told = await tiers[SITE].told("succeeded", SITE)
        assert [id for id in told if id in sent] == sent


async def test_what_was_open_is_submitted_again_and_done_once(root: LocalTier, tiers: Tiers) -> None:
    site = tiers[SITE]
    done = (await root.submit(SITE, "done"))["id"]
    await root.done(done)
    await site.link.cut()
    waiting = [(await root.submit(SITE, f"waits{number}"))["id"] for number in range(3)]
    # What others say of a life that is not here: as after a log that was cut short.
    above = "00000007.ffffffffffffffff"
    root.controller.asker.shown(above)
    await eventually(lambda: root.runtime.log.epoch > above)
    await site.link.heal()
    for id in [done, *waiting]:
        await root.done(id)
    told = await site.told("succeeded", SITE)
    assert [told.count(id) for id in [done, *waiting]] == [1, 1, 1, 1]
    await site.tells("received", SITE, [done, *waiting])
    after = await root.submit(SITE, "after", wait=30)
    assert after["summary"] == {"succeeded": 1}


async def test_a_target_that_lost_its_log_gets_its_history_again(root: LocalTier, tiers: Tiers) -> None:
    site = tiers[SITE]
    sent = [(await root.submit(SITE, f"c{number}"))["id"] for number in range(5)]
    for id in sent:
        await root.done(id)
    before = (await root.clusters())[SITE]
    await restart_without_log(site)

    async def came_back() -> bool:
        return await site.told("received", SITE) == sent

    await eventually(came_back, what="its mail comes again, in order")
    assert (await root.submit(SITE, "after", wait=30))["summary"] == {"succeeded": 1}
    assert (await root.clusters())[SITE]["state"] == before["state"]
    objects = await site.submit(SITE, {"verb": "list", "args": {"kind": "ConfigMap"}}, wait=30)
    names = [item["metadata"]["name"] for item in objects["targets"][SITE]["result"]["items"]]
    assert names == sorted(["after", *(f"c{number}" for number in range(5))])

"""Signed trees against carriers, siblings and strangers that send what nobody said: refused, told, harming nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import msgpack
import pytest

from bus import signing, subjects, wire
from bus.event import Addressee, Draft, Event, new_id
from bus.signing import Signer, public_key
from bus.sync import Ship
from bus.types import ADMITTED, FINALS, SUBMITTED, SUCCEEDED
from tests.integration.signing_kit import Keyed, rejected, say
from tests.integration.tiers import LocalTier, Tap, Tier, Tiers, config
from tests.support import eventually, new_seed

EAST, SITE, OTHER = "root.east", "root.east.site", "root.east.other"


@pytest.fixture
async def keyed(tiers: Tiers, tmp_path: Path) -> AsyncIterator[Keyed]:
    """A root, a region and a site, all with keys."""
    tree = Keyed(tiers, tmp_path)
    root = await tree.grow("root", shims=())
    east = await tree.grow(EAST, root, shims=())
    await tree.grow(SITE, east)
    yield tree


async def everything(tier: Tier) -> list[Event]:
    assert isinstance(tier, LocalTier)
    return [stored.event for stored in await tier.runtime.log.read(lambda reader: reader.events(limit=10_000))]


async def works(tiers: Tiers) -> None:
    """A command arrives, and no stream and no mailbox has a hole."""
    done = await tiers["root"].submit(SITE, "shop", wait=30)
    assert done["summary"] == {"succeeded": 1}

    async def no_lag() -> bool:
        return all(row["lag"]["events"] == 0 for row in (await tiers["root"].clusters()).values())

    await eventually(no_lag)


def send(tier: Tier, subject: str, *events: Event) -> None:
    tier.bus.send(subject, wire.pack([event.body for event in events]), wire.EVENTS_HEADERS)


def changed(event: Event, old: bytes, new: bytes) -> Event:
    """The event as a carrier would have it: the signature as it was."""
    assert len(old) == len(new) and old in event.body
    return Event.decode(event.body.replace(old, new))


async def test_all_that_travels_is_signed_by_its_source(keyed: Keyed, tiers: Tiers) -> None:
    await works(tiers)
    for tier in ("root", EAST, SITE):

        async def all_are_there(tier: str = tier) -> list[Event]:
            # Copies on the way are stored when it suits.
            shared = [event for event in await everything(tiers[tier]) if event.seq is not None]
            assert {event.source for event in shared} >= {"root", SITE}
            return shared

        shared: list[Event] = await eventually(all_are_there)  # type: ignore[assignment]
        for event in shared:
            assert signing.verify(event.body, public_key(keyed.key(event.source).public)), event.type


async def test_what_a_carrier_alters_a_sibling_forges_or_nobody_signs_is_not_carried_out(
    keyed: Keyed, tiers: Tiers
) -> None:
    root, site = tiers["root"], tiers[SITE]
    tap = await Tap(site.bus).listen(f"ote.cmd.{SITE}")
    await root.submit(SITE, "shop", wait=30, actor="ada")
    true = Event.decode(wire.unpack(tap.messages[0][1])[0])
    assert true.actor == "ada"
    effects = len([e for e in await everything(site) if e.type == "ote.object.applied.v1"])

    def order(key: Signer | None) -> Event:
        data = {"command": new_id(), "selector": SITE, "do": config("evil"), "digest": "d", "count": 1}
        to = (Addressee(SITE, true.to[0].number + 1, true.to[0].epoch),)
        return Draft(SUBMITTED, true.subject, data, to=to).seal("root", true.epoch, 10_000, key)

    # A copied id with other words, another actor, a replay, an order of a sibling's, and one of nobody's.
    for forged in (
        changed(true, b"shop", b"evil"),
        changed(true, b"\xa3ada", b"\xa3eve"),
        true,
        order(keyed.key(OTHER)),
        order(Signer(new_seed())),
        order(None),
    ):
        send(site, f"ote.cmd.{SITE}", forged)
    for reason in ("forged", "unsigned"):
        told = await rejected(root, SITE, reason)
        assert told["data"]["source"] == "root"
    metrics = await asyncio.to_thread(lambda: urlopen(site.info["metrics"]).read().decode())
    assert re.search(r'ote_events_rejected_total\{reason="forged",tier="root.east.site"\} [1-9]', metrics)
    assert len([e for e in await everything(site) if e.type == "ote.object.applied.v1"]) == effects
    assert not [e for e in await everything(site) if b"evil" in e.body or e.actor == "eve"]
    await works(tiers)


async def test_nobody_reports_for_another(keyed: Keyed, tiers: Tiers) -> None:
    """What is forged of a site does not become what the tiers above hold of it, by push or by repair."""
    root, east, site = tiers["root"], tiers[EAST], tiers[SITE]
    await site.link.cut()
    done = await root.submit(SITE, "shop")
    site_epoch = (await everything(site))[-1].epoch
    final = Draft(SUCCEEDED, subjects.event(SUCCEEDED, SITE), {"command": done["id"], "result": "forged"})
    forged = [final.seal(SITE, site_epoch, 9_000, keyed.key(OTHER)), replace_id(final).seal(SITE, site_epoch, 9_001)]
    for event in forged:
        send(east, event.subject, event)
    for reason in ("forged", "unsigned"):
        for tier in (root, east):
            await rejected(root, tier.path, reason)
    ship = Ship(epoch=site_epoch, events=[event.body for event in forged])
    for depth in (0, 1):
        answer = await east.bus.request(f"ote.sync.{depth}.{SITE}", ship.pack(), timeout=30)
        assert msgpack.unpackb(answer.data)["error"] is None
    assert (await root.target(done["id"], SITE))["state"] == "accepted"
    assert not [e for tier in (root, east) for e in await everything(tier) if e.type in FINALS]
    await site.link.heal()
    target = (await root.done(done["id"]))["targets"][SITE]
    assert (target["state"], target.get("result")) != ("succeeded", "forged")
    assert target["state"] == "succeeded"
    await works(tiers)


def replace_id(draft: Draft) -> Draft:
    return replace(draft, id=new_id())


async def test_a_flood_of_forgeries_is_told_once_and_put_aside_a_few_times(keyed: Keyed, tiers: Tiers) -> None:
    root, east = tiers["root"], tiers[EAST]
    thief = Signer(new_seed())
    drafts = [Draft(ADMITTED, subjects.event(ADMITTED, SITE), {"path": SITE, "n": n}) for n in range(300)]
    send(east, drafts[0].subject, *(draft.seal(SITE, "0000000f." + 16 * "0", 5, thief) for draft in drafts))
    await rejected(root, EAST, "forged")
    assert east.controller.inbound.guard.rejected["forged"] == 300  # type: ignore[attr-defined]
    told = [e for e in await everything(east) if e.type == "ote.log.rejected.v1"]
    assert len(told) == 1
    await works(tiers)


async def test_a_cluster_whose_key_is_not_known_waits_and_nothing_is_lost(keyed: Keyed, tiers: Tiers) -> None:
    east = tiers[EAST]
    assert isinstance(east, LocalTier)
    other = await tiers.grow(OTHER, east, trust=keyed.trust(OTHER), wait=False)
    await say(other, "ote.test.said.v1", {"n": 1})

    async def comes() -> bool:
        return east.controller.inbound.guard.rejected["unknown"] > 3

    await eventually(comes)
    assert OTHER not in await tiers["root"].clusters()
    await keyed.admit(east, OTHER)
    await tiers["root"].sees(OTHER, "online")
    for tier in (tiers["root"], east):
        await eventually(lambda tier=tier: has(tier, "ote.test.said.v1"))  # type: ignore[misc]
    assert not [e for e in await everything(east) if e.type == "ote.log.rejected.v1"]

    async def known() -> bool:
        return bool((await tiers["root"].clusters())[OTHER].get("shims"))

    await eventually(known)
    done = await tiers["root"].submit(OTHER, "shop", wait=30)
    assert done["summary"] == {"succeeded": 1}


async def has(tier: Tier, kind: str) -> bool:
    return any(event.type == kind for event in await everything(tier))


async def test_a_revoked_key_says_nothing_new_and_its_history_stays(keyed: Keyed, tiers: Tiers) -> None:
    root, east, site = tiers["root"], tiers[EAST], tiers[SITE]
    assert isinstance(east, LocalTier) and isinstance(site, LocalTier)
    await works(tiers)
    held = {e.epoch: e.seq or 0 for e in await everything(east) if e.source == SITE and e.seq is not None}
    await keyed.revoke(east, SITE, held)
    await say(site, "ote.test.said.v1", {"n": 1})
    await rejected(root, EAST, "revoked")
    await rejected(root, "root", "revoked")
    for tier in (root, east):
        assert not await has(tier, "ote.test.said.v1")
        assert [e for e in await everything(tier) if e.source == SITE and e.type == SUCCEEDED]


async def test_a_tree_gets_keys_and_keeps_its_history(tiers: Tiers, tmp_path: Path) -> None:
    """What was said without keys stays, what was still to be done is said again, signed."""
    root = await tiers.grow("root", shims=())
    site = await tiers.grow("root.site", root)
    await root.submit("root.site", "before", wait=30)
    lives = {tier.path: (await everything(tier))[-1].epoch for tier in (root, site)}
    await site.link.cut()
    waiting = await root.submit("root.site", "meanwhile")
    await root.stop()
    await site.stop()
    keys = Keyed(tiers, tmp_path)
    root.believe(keys.trust("root"))
    site.believe(keys.trust("root.site"))
    await root.start()
    spoken = max(e.seq or 0 for e in await everything(root) if e.source == "root.site")
    await keys.admit(root, "root.site", before=[[lives["root.site"], spoken + 1000]])
    await site.link.heal()
    await site.start()
    assert (await root.done(waiting["id"]))["summary"] == {"succeeded": 1}
    assert root.runtime.log.epoch > lives["root"] and site.runtime.log.epoch > lives["root.site"]
    # What was not received of the old life is not believed now, and no longer needed.
    told = [e for tier in (root, site) for e in await everything(tier) if e.type == "ote.log.rejected.v1"]
    assert {(e.source, e.data["source"], e.data["reason"]) for e in told} <= {("root.site", "root", "unsigned")}
    # A life that had no key is over: nothing more is said in it.
    late = Draft("ote.test.said.v1", "ote.evt.said.root.site", {}).seal("root.site", lives["root.site"], 9_999)
    send(root, subjects.event("ote.test.said.v1", "root.site"), late)
    await rejected(root, "root", "unsigned")
    done = await root.submit("root.site", "after", wait=30)
    assert done["summary"] == {"succeeded": 1}

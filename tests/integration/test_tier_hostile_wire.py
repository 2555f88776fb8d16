"""The wire between tiers and what is wrong on it: refused, told in the log of the tier, and harming nothing."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import msgpack
import pytest

from bus import subjects, wire
from bus.errors import NotFound, Unavailable
from bus.event import new_id, now
from bus.sync import AskHeld, AskMail, Compare, Hello, Ship, unpack_answer
from bus.types import FAILED, JOINED, RECEIVED, STORED, SUBMITTED, SUCCEEDED
from tests.integration.tiers import PAPER_EPOCH, Answer, LocalTier, Tier, Tiers, announce, config
from tests.support import eventually

EAST, SITE = "root.east", "root.east.site"
HUGE = 2**64 - 1


@pytest.fixture
async def root(tiers: Tiers) -> LocalTier:
    root = await tiers.grow("root", shims=())
    east = await tiers.grow(EAST, root, shims=())
    await tiers.grow(SITE, east, tags=["camera"])
    return root


def raw(kind: str, whose: str, data: Any, /, **attributes: Any) -> bytes:
    """The bytes of an event, right or wrong; an attribute that is `...` is left out."""
    event = {
        "specversion": "1.0",
        "id": new_id(),
        "source": whose,
        "type": kind,
        "subject": f"ote.evt.any.{whose}",
        "time": now(),
        "epoch": PAPER_EPOCH,
        "seq": 1,
        "data": data,
    } | attributes
    return bytes(msgpack.packb({name: value for name, value in event.items() if value is not ...}))


def order(number: int = 1, **attributes: Any) -> bytes:
    """A command of a region that never was, for the site; `data` replaces parts of the data."""
    data = {
        "command": new_id(),
        "selector": "site",
        "do": config("forged"),
        "digest": "d",
        "count": 1,
        **attributes.pop("data", {}),
    }
    whole = {name: value for name, value in data.items() if value is not ...}
    attributes.setdefault("to", [[SITE, number, ""]])
    return raw(SUBMITTED, attributes.pop("source", EAST), whole, **attributes)


async def works(root: Tier, tiers: Tiers) -> None:
    """All is as if nothing had been: a command arrives, and no stream and no mailbox has a hole."""
    done = await root.submit("site", "shop", wait=30)
    assert done["summary"] == {"succeeded": 1}
    for path in ("root", EAST, SITE):
        status = await tiers[path].ask("status")
        assert status["backlog"]["behind_gap"] == 0

    async def no_lag() -> bool:
        return all(row["lag"]["events"] == 0 for row in (await root.clusters()).values())

    await eventually(no_lag)


async def whole_log(*tiers: Tier) -> list[list[Answer]]:
    return [[e for e in await tier.log() if not e["type"].startswith("ote.command.stored")] for tier in tiers]


NO_FRAMES = [
    b"",
    b"{",
    b"\xc1",
    b"\x91",
    b"\x81\xa1a\x01",
    b'[{"a": 1}]',
    bytes(msgpack.packb(7)),
    bytes(msgpack.packb([7, "text", None])),
    bytes(msgpack.packb([[b"nested"]])),
    bytes(msgpack.packb([b"", b"\xc1", b"{}"])),
    bytes(msgpack.packb([b"x"] * 5_000)),
    b"\xdd\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    bytes(900_000),
]


async def test_what_is_no_frame_or_no_message_harms_nothing(root: LocalTier, tiers: Tiers) -> None:
    east = tiers[EAST]
    before = await whole_log(root, east, tiers[SITE])
    for data in NO_FRAMES:
        for subject in (
            f"ote.cmd.{SITE}",
            f"ote.under.{EAST}",
            f"ote.tag.camera.{EAST}",
            f"ote.evt.command-succeeded.{SITE}",
            f"ote.evt.nonsense.{SITE}",
            f"ote.evt.command-succeeded.{EAST}.NO_LABEL",
            f"ote.hb.{SITE}",
            f"ote.hb.{EAST}.NO",
        ):
            for tier in (east, tiers[SITE]):
                tier.bus.send(subject, data)
        for tier in (root, east):
            depth = 0 if tier is root else 1
            answer = unpack_answer((await tier.bus.request(f"ote.sync.{depth}.{SITE}", data, timeout=30)).data)
            assert answer.error is not None
            assert len(answer.error) < 500
    assert await whole_log(root, east, tiers[SITE]) == before
    await works(root, tiers)


WRONG: dict[str, dict[str, Any]] = {
    "no specversion": {"specversion": ...},
    "specversion": {"specversion": "9"},
    "no id": {"id": ...},
    "id": {"id": "mine"},
    "id of 300": {"id": "x" * 300},
    "source": {"source": 7},
    "hostile source": {"source": "root.*"},
    "type": {"type": "succeeded"},
    "subject": {"subject": "a b"},
    "unicode subject": {"subject": "ä"},
    "time": {"time": "yesterday"},
    "time without width": {"time": "2026-01-01T00:00:00Z"},
    "time that is none": {"time": "2026-13-41T00:00:00.000000Z"},
    "epoch": {"epoch": "z"},
    "seq 0": {"seq": 0},
    "negative seq": {"seq": -1},
    "huge seq": {"seq": HUGE},
    "no seq": {"seq": ...},
    "expiresat": {"expiresat": "soon"},
    "data": {"data": [1]},
    "to": {"to": "site"},
    "hostile to": {"to": [["root.east.*", 1, ""]]},
    "number 0": {"to": [[SITE, 0, ""]]},
    "huge number": {"to": [[SITE, HUGE, ""]]},
    "epoch of to": {"to": [[SITE, 1, "z" * 300]]},
    "not below": {"to": [[SITE, 1, ""], ["root.west", 1, ""]]},
    "cover": {"supersedes": [[SITE, HUGE, "c", b"x" * 16]]},
    "cover's checksum": {"supersedes": [[SITE, 1, "c", b"x"]]},
    "cover not below": {"supersedes": [["root.west", 1, "c", b"x" * 16]]},
}
WRONG_MAIL: dict[str, dict[str, Any]] = {
    **{f"{name} of mail": change for name, change in WRONG.items() if name != "data"},
    "no addressee": {"to": []},
    "no command": {"data": {"command": ...}},
    "command": {"data": {"command": 7}},
    "no do": {"data": {"do": ...}},
    "do": {"data": {"do": "apply"}},
    "verb": {"data": {"do": {"verb": 7}}},
    "args": {"data": {"do": {"verb": "apply", "args": []}}},
    "shim": {"data": {"do": {"verb": "apply", "shim": ["local"]}}},
    "count": {"data": {"count": "many"}},
    "count of nobody": {"data": {"count": 0}},
    "count that no column holds": {"data": {"count": HUGE}},
    "key": {"data": {"key": {}}},
    "lane": {"data": {"lane": [1]}},
}


async def test_wrong_attributes_are_refused_one_by_one(root: LocalTier, tiers: Tiers) -> None:
    """From where the real ones come, with a real epoch's look: only the one thing is wrong."""
    east, site = tiers[EAST], tiers[SITE]
    before = await whole_log(root, east, site)
    for change in WRONG.values():
        body = raw(SUCCEEDED, SITE, change.get("data", {"command": new_id()}), **change)
        site.bus.send(f"ote.evt.command-succeeded.{SITE}", wire.pack([body]), wire.EVENTS_HEADERS)
    for name, change in WRONG_MAIL.items():
        body = order(**change)
        assert name
        for subject in (f"ote.cmd.{SITE}", f"ote.under.{EAST}"):
            root.bus.send(subject, wire.pack([body]), wire.EVENTS_HEADERS)
        ship = Ship(epoch=PAPER_EPOCH, events=[body])
        answer = await site.bus.request(f"ote.sync.1.{SITE}", ship.pack(), timeout=30)
        assert unpack_answer(answer.data).error is None
    assert await whole_log(root, east, site) == before
    await works(root, tiers)


async def test_beside_a_wrong_event_in_a_frame_the_right_ones_are_taken(root: LocalTier, tiers: Tiers) -> None:
    good, other = (raw(RECEIVED, f"{EAST}.paper", {"command": new_id()}, seq=seq) for seq in (1, 2))
    wrong = raw(RECEIVED, f"{EAST}.paper", {"command": new_id()}, seq=HUGE)
    tiers[EAST].bus.send(f"ote.evt.command-received.{EAST}.paper", wire.pack([b"x", good, wrong, other]))

    async def taken() -> bool:
        return len(await root.log(source=f"{EAST}.paper")) == 2

    await eventually(taken)
    await works(root, tiers)


async def shared_events(tier: Tier) -> list[str]:
    """The ids of what a tier holds of the site."""
    return sorted(event["id"] for event in await tier.log(source=SITE) if "seq" in event)


async def told(tiers: Tiers) -> bool:
    """Whether those above the site hold all that it has to say."""
    site, *above = [await shared_events(tiers[path]) for path in (SITE, EAST, "root")]
    return all(held == site for held in above)


async def test_events_forged_for_another_source_are_refused(root: LocalTier, tiers: Tiers) -> None:
    east, site = tiers[EAST], tiers[SITE]
    sent = await root.submit("site", "shop")
    await root.done(sent["id"])
    await eventually(partial(told, tiers))
    await site.link.cut()
    open_one = await root.submit("site", "open")
    before = await shared_events(root)
    forged = raw(SUCCEEDED, SITE, {"command": open_one["id"]}, seq=100)
    # On another's subject, and shipped by another.
    east.bus.send(f"ote.evt.command-succeeded.{EAST}.other", wire.pack([forged]), wire.EVENTS_HEADERS)
    ship = Ship(epoch=PAPER_EPOCH, events=[forged])
    answer = await east.bus.request(f"ote.sync.1.{EAST}.other", ship.pack(), timeout=30)
    assert unpack_answer(answer.data).error is None
    for tier in (root, east):
        assert await shared_events(tier) == before
    assert (await root.command(open_one["id"]))["summary"] == {"accepted": 1}
    await site.link.heal()
    assert (await root.done(open_one["id"]))["summary"] == {"succeeded": 1}


async def test_what_clusters_say_of_themselves_may_be_nonsense(root: LocalTier, tiers: Tiers) -> None:
    hostile: dict[str, Any] = {
        "a": {"tags": {"*": ">", "b c": "", "ok": "", "ä": "💥", "x" * 300: "y" * 300, "zone": "a.b.*"}},
        "b": {"tags": [1, 2], "shims": "local", "version": 7, "resources": "many"},
        "c": {"shims": [{"kind": 7}, {"default": True}, "local", None], "tags": {"camera": 5}},
        "d": {"path": f"{EAST}.other"},
        "e": {"path": "*", "tags": {"camera": ""}},
    }
    for name, about in hostile.items():
        announce(tiers[EAST].bus, f"{EAST}.{name}", **about)
    body = raw(JOINED, EAST, {"path": f"{EAST}.no label.>", "attached_to": 7}, seq=99)
    tiers[EAST].bus.send(f"ote.evt.cluster-joined.{EAST}", wire.pack([body]))

    async def known() -> bool:
        return {f"{EAST}.a", f"{EAST}.b", f"{EAST}.c"} <= set(await root.clusters())

    await eventually(known)
    for tier in (root, tiers[EAST]):
        clusters = await tier.clusters()
        assert clusters[f"{EAST}.a"]["tags"] == ["ok"]
        assert (clusters[f"{EAST}.b"]["tags"], clusters[f"{EAST}.b"]["shims"]) == ([], [])
        assert clusters[f"{EAST}.c"]["shims"] == []
        assert not {path for path in clusters if "*" in path or " " in path}
        await tier.ask("status")
    assert (await root.submit("tag:camera", "shop", wait=30))["summary"] == {"succeeded": 1}
    with pytest.raises(NotFound):
        await root.submit("tag:b", "shop")


async def test_what_clusters_say_of_commands_may_be_nonsense(root: LocalTier, tiers: Tiers) -> None:
    paper = f"{EAST}.paper"
    announce(tiers[EAST].bus, paper, shims=[{"kind": "local", "default": True}])

    async def known() -> bool:
        return paper in await root.clusters()

    await eventually(known)
    waiting = [await root.submit("paper", "shop") for _ in range(4)]
    ids = [answer["id"] for answer in waiting]
    said: list[tuple[str, Any]] = [
        (STORED, {"commands": 7}),
        (STORED, {"commands": [7, None, ids[0]]}),
        (STORED, {}),
        (RECEIVED, {"command": [ids[0]]}),
        (RECEIVED, {"command": ids[0], "number": "x"}),
        (FAILED, {"command": ids[0], "error": "just text"}),
        (FAILED, {"command": ids[1], "error": {"odd": 1}}),
        (FAILED, {"command": ids[2], "error": 7}),
        (SUCCEEDED, {"command": ids[3], "result": {"deep": [[[1]]], "ä": None}}),
        (SUCCEEDED, {"command": None}),
    ]
    for seq, (kind, data) in enumerate(said, 2):
        body = raw(kind, paper, data, seq=seq)
        tiers[EAST].bus.send(subjects.event(kind, paper), wire.pack([body]), wire.EVENTS_HEADERS)
    errors = []
    for id in ids[:3]:
        target = (await root.done(id))["targets"][paper]
        errors.append((target["state"], target["error"]["code"], target["error"]["message"]))
    assert errors == [
        ("failed", "failed", "just text"),
        ("failed", "failed", "no reason given"),
        ("failed", "failed", "7"),
    ]
    assert (await root.done(ids[3]))["targets"][paper]["result"] == {"deep": [[[1]]], "ä": None}
    await works(root, tiers)


async def test_asks_of_wrong_numbers_are_answered_with_an_error_or_nothing(root: LocalTier, tiers: Tiers) -> None:
    site = tiers[SITE]
    before = await whole_log(root, tiers[EAST], site)
    life = (await root.ask("status"))["epoch"]
    epoch = PAPER_EPOCH
    asks = [
        AskMail(epoch=epoch, buckets=[-1, 64, 2**40], held=[]),
        AskMail(epoch=epoch, buckets=list(range(64)), held=[("root", "no epoch", SITE, HUGE)]),
        AskMail(epoch=epoch, buckets=list(range(64)), held=[("root", epoch, "root.*", -5)]),
        AskHeld(epoch="x" * 10_000, buckets=[10**6]),
        Compare(epoch=epoch, instance="nobody", mail=-1, streams=HUGE),
        Ship(epoch=epoch, events=[b"", b"x", bytes(1000)]),
        Ship(epoch=epoch, events=[raw(SUCCEEDED, "root.west", {"command": "c"})]),
        Hello(epoch="z", instance="x" * 10_000),
    ]
    for ask in asks:
        for depth in (0, 1):
            try:
                answer = await site.bus.request(f"ote.sync.{depth}.{EAST}.paper", ask.pack(), timeout=30)
            except Unavailable as error:
                pytest.fail(f"{ask} was not answered: {error}")
            assert unpack_answer(answer.data).events == []
    assert (await root.ask("status"))["epoch"] == life
    assert await whole_log(root, tiers[EAST], site) == before
    await works(root, tiers)


async def test_who_asks_without_end_is_answered_so_much_at_once_and_others_as_ever(
    root: LocalTier, tiers: Tiers
) -> None:
    ask = AskMail(epoch=PAPER_EPOCH, buckets=list(range(64)), held=[]).pack()

    async def once(_: int) -> str | None:
        return unpack_answer((await tiers[SITE].bus.request(f"ote.sync.0.{SITE}", ask, timeout=30)).data).error

    answers = await asyncio.gather(*map(once, range(1_000)))
    refused = [error for error in answers if error is not None]
    assert 0 < len(refused) < len(answers)
    assert {*refused} == {f"root answers 64 questions of {SITE} already"}
    await works(root, tiers)


async def test_heartbeats_of_nobody_bring_nobody_to_life(root: LocalTier, tiers: Tiers) -> None:
    beat = {
        "path": SITE,
        "instance": "forged",
        "epoch": PAPER_EPOCH,
        "held": HUGE,
        "behind": {"*": 5},
        "time": now(),
        "load": 0.0,
        "resources": {},
        "version": "0",
    }
    await tiers[SITE].link.cut()
    await root.sees(SITE, "offline")
    for change in ({}, {"path": EAST}, {"held": -1}, {"behind": 7}, {"time": "noon"}, {"instance": None}):
        tiers[EAST].bus.send(f"ote.hb.{SITE}", msgpack.packb(beat | change))
    tiers[EAST].bus.send(f"ote.hb.{EAST}.nobody", msgpack.packb(beat))
    await tiers[EAST].bus.flush()
    row = (await tiers[EAST].clusters())[SITE]
    assert (row["state"], row["lag"]["events"]) == ("offline", 0)
    assert f"{EAST}.nobody" not in await tiers[EAST].clusters()
    await tiers[SITE].link.heal()
    await root.sees(SITE, "online")
    await works(root, tiers)


async def test_a_fork_is_quarantined_and_told(root: LocalTier, tiers: Tiers) -> None:
    """A second event at a place that is taken."""
    done = await root.submit("site", "shop", wait=30)
    await root.done(done["id"])
    life = tiers[SITE].runtime.log.epoch  # type: ignore[attr-defined]
    forged = raw(SUCCEEDED, SITE, {"command": done["id"], "result": "forged"}, epoch=life, seq=2)
    tiers[SITE].bus.send(f"ote.evt.command-succeeded.{SITE}", wire.pack([forged]), wire.EVENTS_HEADERS)

    async def told() -> bool:
        return len(await root.log(type="ote.log.forked.v1", source="root")) == 1

    await eventually(told)
    fork = (await root.log(type="ote.log.forked.v1", source="root"))[0]["data"]
    assert (fork["source"], fork["epoch"], fork["seq"]) == (SITE, life, 2)
    assert "forged" not in str((await root.command(done["id"]))["targets"])
    await works(root, tiers)

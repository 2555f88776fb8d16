"""Push gives the latency, repair the guarantee: what is dropped, doubled or reordered on the way changes nothing."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from bus import subjects, wire
from bus.errors import Unavailable
from tests.integration.tiers import LocalTier, Tap, Tier, Tiers, config
from tests.support import NatsServer, eventually

SITE1, SITE2 = "root.east.site1", "root.east.site2"
MAIL = ("ote.cmd.", "ote.under.", "ote.tag.")
NEVER = 600.0

Frame = tuple[str, bytes, Mapping[str, str] | None]


@contextmanager
def swallowed(tier: LocalTier, *prefixes: str) -> Iterator[list[Frame]]:
    """What this tier sends on these subjects is lost; yields what it was."""
    bus = tier.runtime.bus
    send, lost = bus.send, []

    def swallow(subject: str, payload: bytes, headers: Mapping[str, str] | None = None) -> None:
        if subject.startswith(prefixes):
            lost.append((subject, payload, headers))
        else:
            send(subject, payload, headers)

    bus.send = swallow  # type: ignore[method-assign]
    try:
        yield lost
    finally:
        del bus.send  # type: ignore[method-assign]


async def grown(tiers: Tiers, sync_interval: float) -> LocalTier:
    root = await tiers.grow("root", shims=())
    east = await tiers.grow("root.east", root, shims=(), sync_interval=sync_interval)
    for path in (SITE1, SITE2):
        await tiers.grow(path, east, tags=["camera"], sync_interval=sync_interval)
    return root


async def test_a_push_that_is_lost_is_brought_by_the_next_ask(tiers: Tiers) -> None:
    root = await grown(tiers, 0.3)
    with swallowed(root, *MAIL) as lost:
        sent = [(await root.submit("tag:camera", f"n{number}"))["id"] for number in range(5)]
        for id in sent:
            assert (await root.done(id))["summary"] == {"succeeded": 2}
    assert len(lost) == 5
    for path in (SITE1, SITE2):
        await root.tells("received", path, sent)
    assert (await root.submit("tag:camera", "after", wait=30))["summary"] == {"succeeded": 2}


async def test_copies_that_wait_for_the_log_are_not_asked_for(tiers: Tiers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks takes them into the log first: else the ancestor, which has them, would send them again."""
    root = await tiers.grow("root", shims=())
    east = await tiers.grow("root.east", root, shims=(), sync_interval=NEVER)
    await tiers.grow(SITE1, east, sync_interval=NEVER)
    asker, inbound = east.controller.asker, east.controller.inbound
    monkeypatch.setattr("store.sql.writer.SPACING", 10_000)
    for name in ("first", "second"):
        assert (await root.submit("site1", name, wait=30))["summary"] == {"succeeded": 1}
    await root.runtime.log.flush()
    await eventually(lambda: inbound.unwritten > 0)
    taken = asker.taken.pages
    asker.wake()
    await eventually(lambda: inbound.unwritten == 0)
    written = time.monotonic()
    asker.wake()
    await eventually(lambda: asker.heard > written)
    assert asker.taken.pages == taken


async def test_a_gap_is_asked_for_at_once(tiers: Tiers) -> None:
    """The next ask by itself would come in ten minutes."""
    root = await grown(tiers, NEVER)
    site = tiers[SITE1]
    first = await root.submit("site1", "first", wait=30)
    await site.link.cut()
    lost = await root.submit("site1", "lost")
    await site.link.heal()
    await eventually(lambda: _answers(root, SITE1))
    last = await root.submit("site1", "last", wait=30)
    assert last["summary"] == {"succeeded": 1}
    await site.tells("received", SITE1, [first["id"], lost["id"], last["id"]])


async def _answers(tier: Tier, path: str) -> bool:
    try:
        await tier.bus.request(subjects.ask(path), b"", timeout=0.5)
    except Unavailable:
        return False
    return True


async def test_a_result_that_is_lost_on_its_way_up_is_shipped(tiers: Tiers) -> None:
    root = await grown(tiers, 0.3)
    with swallowed(tiers[SITE1], "ote.evt."):  # type: ignore[arg-type]
        sent = await root.submit("site1", "shop")
        done = await root.done(sent["id"])
    below = await tiers[SITE1].target(sent["id"], SITE1)
    assert done["targets"][SITE1]["receipts"]["executed"] == below["receipts"]["executed"]
    await root.tells("succeeded", SITE1, [sent["id"]])
    await tiers["root.east"].tells("succeeded", SITE1, [sent["id"]])


async def test_doubled_and_reordered_mail_changes_nothing(tiers: Tiers) -> None:
    root = await grown(tiers, NEVER)
    with swallowed(root, *MAIL) as frames:
        sent = []
        for number in range(40):
            to = ("site1", "tag:camera", "site1 or site2")[number % 3]
            sent.append((await root.submit(to, config("shop", last=str(number))))["id"])
    assert len(frames) == 40
    shuffled = frames * 3
    random.Random(7).shuffle(shuffled)
    for frame in shuffled:
        root.bus.send(*frame)
    for id in sent:
        await root.done(id)
    for frame in reversed(frames):
        root.bus.send(*frame)
    await root.bus.flush()
    # What is sent last is handled last: once it is done, so are all the doubles before it.
    assert (await root.submit("tag:camera", "last", wait=30))["summary"] == {"succeeded": 2}
    assert (await tiers[SITE1].told("received", SITE1))[:-1] == sent
    assert (await tiers[SITE1].told("succeeded", SITE1))[:-1] == sent
    got = await root.submit("site1", {"verb": "get", "args": {"kind": "ConfigMap", "name": "shop"}}, wait=30)
    assert got["targets"][SITE1]["result"]["data"] == {"last": "39"}
    assert await root.log(type="ote.log.forked.v1") == []


async def test_doubled_and_reordered_results_change_nothing(tiers: Tiers) -> None:
    root = await grown(tiers, NEVER)
    tap = await Tap(root.bus).listen(f"ote.evt.*.{SITE1}")
    sent = [(await root.submit("site1", f"n{number}"))["id"] for number in range(20)]
    for id in sent:
        await root.done(id)
        await eventually(lambda id=id: _stored(root, id))  # type: ignore[misc]
    before = {id: await root.command(id) for id in sent}
    log = await root.log()
    frames = [(subject, data) for subject, data in tap.messages]
    random.Random(3).shuffle(frames)
    for subject, data in frames * 2:
        tiers[SITE1].bus.send(subject, data, wire.EVENTS_HEADERS)
    marked = await root.submit("site1", "marked", wait=30)
    await root.done(marked["id"])
    assert {id: await root.command(id) for id in sent} == before
    assert (await root.log())[: len(log)] == log
    await root.tells("succeeded", SITE1, [*sent, marked["id"]])


async def _stored(tier: Tier, id: str) -> bool:
    return "stored" in (await tier.target(id, SITE1))["receipts"]


async def test_a_frame_that_came_before_it_was_due_waits_for_those_before_it(tiers: Tiers) -> None:
    """Also with the link down, so that nobody can be asked: the later mail waits, and is not lost."""
    root = await grown(tiers, 0.3)
    site = tiers[SITE1]
    await site.link.cut()
    with swallowed(root, *MAIL) as frames:
        sent = [(await root.submit("site1", f"n{number}"))["id"] for number in range(3)]
    for subject, payload, headers in (frames[2], frames[1]):
        site.bus.send(subject, payload, headers)

    async def behind_gap() -> bool:
        return bool((await site.ask("status"))["backlog"]["behind_gap"] == 2)

    await eventually(behind_gap)
    await site.tells("received", SITE1, [])
    site.bus.send(*frames[0])
    await eventually(lambda: _is(site, sent))
    await site.link.heal()
    for id in sent:
        await root.done(id, 10)


async def _is(site: Tier, sent: list[str]) -> bool:
    return await site.told("succeeded", SITE1) == sent


async def test_what_a_slow_consumer_lost_is_brought_by_repair(
    tiers: Tiers, nats_servers: Callable[..., NatsServer]
) -> None:
    """The site's process stands still while megabytes come: its server gives it up, as servers do."""
    root = await tiers.grow("root", shims=())
    login = urlsplit(root.leaf)
    remote = f"nats-leaf://{login.username}:{login.password}@127.0.0.1:{login.port}"
    server = nats_servers(
        f'server_name: "slow", max_pending: 1100000, write_deadline: "1s"\n'
        f'cluster {{ name: "ote-t1" }}\nleafnodes {{ remotes: [{{ url: "{remote}", deny_imports: ["ote.local.>"] }}] }}'
    )
    site = await tiers.spawn("root.site", root, nats_url=server.url)
    first = await root.submit("site", "first", wait=30)
    assert site.process is not None
    os.kill(site.process.pid, signal.SIGSTOP)
    sent = []
    try:
        for number in range(60):
            sent.append((await root.submit("site", config("big", n=str(number), body="z" * 250_000)))["id"])
            if "Slow Consumer" in server.log.read_text():
                break
        await eventually(lambda: "Slow Consumer" in server.log.read_text())
    finally:
        os.kill(site.process.pid, signal.SIGCONT)
    for id in sent:
        assert (await root.done(id, 20))["summary"] == {"succeeded": 1}
    await root.tells("received", "root.site", [first["id"], *sent])
    assert (await root.submit("site", "after", wait=30))["summary"] == {"succeeded": 1}


async def test_a_message_that_a_handler_had_no_room_for_is_asked_for_at_once(tiers: Tiers) -> None:
    root = await grown(tiers, NEVER)
    site = tiers[SITE1]
    assert isinstance(site, LocalTier)
    full = 1

    interest = site.controller._mail
    handler = interest._handler

    async def replace() -> None:
        for held in interest._held.values():
            await held.end()
        interest._held.clear()
        interest._handler = no_room
        await site.controller._refreshed()
        await site.runtime.bus.flush()

    def no_room(message: object) -> None:
        nonlocal full
        if full:
            full -= 1
            raise asyncio.QueueFull
        handler(message)  # type: ignore[arg-type]

    await replace()
    done = await root.submit("site1", "shop", wait=30)
    assert done["summary"] == {"succeeded": 1}
    assert (await site.ask("status"))["backlog"]["dropped_messages"] == 1


async def test_a_long_outage_is_caught_up_in_both_directions(tiers: Tiers) -> None:
    count = 200
    root = await grown(tiers, 0.3)
    site = tiers[SITE1]
    await site.link.cut()
    theirs = [root.submit("site1", config(f"n{n}", text="t" * 500)) for n in range(count)]
    sent = [answer["id"] for answer in await asyncio.gather(*theirs)]
    ours = [site.submit("site1", f"own{n}") for n in range(count)]
    sent += [answer["id"] for answer in await asyncio.gather(*ours)]
    await site.link.heal()

    async def known() -> bool:
        listed = await root.ask("commands", {"on": "site1", "limit": 1000})
        return {row["id"]: row["summary"] for row in listed["commands"]} == {id: {"succeeded": 1} for id in sent}

    await eventually(known)
    for origin in ("root", SITE1):
        events = [
            e for e in await site.log(type="ote.command.received.v1", source=SITE1) if e["data"]["origin"] == origin
        ]
        assert [e["data"]["number"] for e in events] == list(range(1, count + 1))

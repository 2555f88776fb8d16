"""Live queries: answered by who is up, others are named, only by what changes nothing, and nothing is recorded."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from bus import messages, subjects, wire
from bus.asks import Query, Said, unpack
from bus.client import Bus, Message
from bus.errors import NotFound, Refused
from bus.event import now
from tests.integration.gate import Gate
from tests.integration.tiers import Answer, LocalTier, Tiers, config, crowd
from tests.support import eventually

EAST, SITE1, SITE2, SITE3 = "root.east", "root.east.site1", "root.east.site2", "root.west.site3"
LIST: Answer = {"verb": "list", "args": {"kind": "ConfigMap"}}


@pytest.fixture
async def root(tiers: Tiers) -> LocalTier:
    """A root with two regions and three sites; the regions only route."""
    root = await tiers.grow("root", shims=())
    east, west = await asyncio.gather(*(tiers.grow(f"root.{name}", root, shims=()) for name in ("east", "west")))
    await asyncio.gather(
        tiers.grow(SITE1, east, tags=["camera"]),
        tiers.grow(SITE2, east, tags=["camera", "zone=eu"]),
        tiers.grow(SITE3, west, tags=["zone=eu"]),
    )
    return root


async def ask(tier: LocalTier, to: str, do: Answer = LIST, **more: Any) -> Answer:
    answer = await tier.ask("ask", {"to": to, "do": do, "timeout": 5.0, **more})
    messages.AskAnswer.model_validate(answer)
    return answer


def names(said: Answer) -> list[str]:
    return [item["metadata"]["name"] for item in said["result"]["items"]]


async def test_who_is_up_answers_at_once_and_nothing_is_recorded(root: LocalTier, tiers: Tiers) -> None:
    done = await root.submit("tag:camera", "shop", wait=30)

    async def reported() -> bool:
        targets = (await root.command(done["id"]))["targets"].values()
        return all("root.east" in target["receipts"].get("stored", {}) for target in targets)

    await eventually(reported)
    asked = now()
    for to in ("under:root.east", "tag:camera", "site1 or site2", "like:site and not tag:zone=eu", "*.east.*"):
        answer = await ask(root, to)
        assert (answer["missing"], answer["count"]) == ({}, len(answer["answers"]))
        assert all(names(said) == ["shop"] for said in answer["answers"].values())
    assert set((await ask(root, ">"))["answers"]) == {SITE1, SITE2, SITE3}
    assert names((await ask(root, "site3"))["answers"][SITE3]) == []
    for path in ("root", EAST, SITE1, SITE2, SITE3):
        assert await tiers[path].log(since=asked) == []


async def test_who_is_away_is_named_and_not_waited_for(root: LocalTier, tiers: Tiers) -> None:
    await tiers[SITE1].link.cut()
    await root.sees(SITE1, "offline")
    answer = await asyncio.wait_for(ask(root, "tag:camera", timeout=600.0), 30)
    assert (list(answer["answers"]), list(answer["missing"])) == ([SITE2], [SITE1])
    assert answer["missing"][SITE1].startswith("offline since 20")
    # Below the cut everything goes on.
    assert list((await ask(tiers[SITE1], "site1"))["answers"]) == [SITE1]
    await tiers[EAST].link.cut()
    await root.sees(EAST, "offline")
    behind = await ask(root, "tag:camera")
    assert behind["answers"] == {} and behind["missing"][SITE2].endswith("behind root.east")
    assert list((await ask(tiers[EAST], "site2"))["answers"]) == [SITE2]


async def test_who_hangs_is_waited_for_until_the_time_is_over(tiers: Tiers) -> None:
    root = await tiers.grow("root", shims=(), missed_heartbeats=50)
    hung = await tiers.grow("root.one", root, tags=["camera"])
    await tiers.grow("root.two", root, tags=["camera"])
    await hung.link.hang()
    answer = await ask(root, "tag:camera", timeout=1.5)
    assert (list(answer["answers"]), answer["missing"]) == (["root.two"], {"root.one": "no answer within 1.5 s"})
    await hung.link.heal()
    assert list((await ask(root, "root.one", timeout=30.0))["answers"]) == ["root.one"]


async def test_what_changes_something_is_refused(root: LocalTier, tiers: Tiers) -> None:
    for do in (config("shop"), {"verb": "reboot"}):
        with pytest.raises(Refused, match=f"does not say that '{do['verb']}' changes nothing.*get, list") as caught:
            await ask(root, "tag:camera", do)
        assert caught.value.field == "do.verb" and "ote run" in str(caught.value.hint)
    assert names((await ask(root, "site1"))["answers"][SITE1]) == []
    with pytest.raises(NotFound):
        await ask(root, "tag:camra")


async def test_an_error_of_a_shim_is_its_answer(root: LocalTier) -> None:
    get = {"verb": "get", "args": {"kind": "ConfigMap", "name": "nope", "namespace": "default"}}
    said = (await ask(root, "site1", get))["answers"][SITE1]
    assert (said["ok"], said["error"]["code"]) == (False, "not-found")


async def test_pages_ask_a_part_each(root: LocalTier) -> None:
    first = await ask(root, ">", limit=2)
    assert (first["count"], list(first["answers"]), first["next"]) == (3, [SITE1, SITE2], SITE2)
    rest = await ask(root, ">", limit=2, after=first["next"])
    assert (rest["count"], list(rest["answers"]), "next" in rest) == (3, [SITE3], False)
    assert (await ask(root, ">", after=SITE3))["answers"] == {}


async def test_a_page_that_would_be_too_large_is_cut(tiers: Tiers) -> None:
    """Each cluster answers with 180 KB: five fit into a message."""
    root = await tiers.grow("root", shims=())
    sites = await asyncio.gather(*(tiers.grow(f"root.s{n}", root, tags=["big"]) for n in range(7)))
    await root.submit("tag:big", config("shop", text="x" * 180_000), wait=30)
    found: dict[str, int] = {}
    after: Answer = {}
    while True:
        page = await ask(root, "tag:big", **after)
        assert page["count"] == 7 and page["answers"] and not page["missing"]
        found |= {path: len(said["result"]["items"][0]["data"]["text"]) for path, said in page["answers"].items()}
        if "next" not in page:
            break
        after = {"after": page["next"]}
    assert found == {site.path: 180_000 for site in sites}


async def test_many_that_never_answer_are_named(tiers: Tiers) -> None:
    root = await tiers.grow("root", tags=["paper"])
    made = await crowd(root, 30, "paper")
    answer = await ask(root, "tag:paper", timeout=1.5)
    assert list(answer["answers"]) == ["root"]
    assert list(answer["missing"]) == made


async def test_a_shim_says_which_verbs_change_nothing(tiers: Tiers) -> None:
    site = await tiers.grow("site", shims=["vm", "local"])
    described = {"kind": "vm", "verbs": {"console": {"read_only": True}, "get": {"read_only": False}, "start": {}}}

    def answer(message: Message) -> None:
        body = described if message.subject.endswith("describe") else {"ok": True, "result": json.loads(message.data)}
        message.respond(wire.dump_body(body), wire.JSON_HEADERS)

    async with await Bus.connect(site.info["nats"], name="vm") as bus:
        for verb in ("describe", "execute"):
            await bus.subscribe(subjects.shim("vm", verb), answer)
        await bus.flush()
        said = (await ask(site, "site", {"verb": "console", "args": {"line": 3}}))["answers"]["site"]
        assert (said["result"]["verb"], said["result"]["args"]) == ("console", {"line": 3})
        for verb in ("get", "start", "list"):
            with pytest.raises(Refused, match="live is console$"):
                await ask(site, "site", {"verb": verb})
        assert (await ask(site, "site", {**LIST, "shim": "local"}))["answers"]["site"]["ok"]


async def test_a_shim_that_does_not_describe_itself_may_be_asked_get_and_list(tiers: Tiers) -> None:
    site = await tiers.grow("site", shims=["gate"])
    silent = (await ask(site, "site"))["answers"]["site"]
    assert (silent["ok"], silent["error"]["code"]) == (False, "unavailable")
    async with Gate(site.info["nats"], open=True) as gate:
        assert (await ask(site, "site"))["answers"]["site"]["ok"]
        with pytest.raises(Refused):
            await ask(site, "site", {"verb": "bump"})
        assert [request["verb"] for request in gate.asked] == ["list"]


async def test_a_query_is_answered_only_by_whom_it_means(root: LocalTier, tiers: Tiers) -> None:
    """Also where it comes by a subject that others hear, and whatever else comes by it."""
    query = Query(asker="root", to="tag:zone=eu", last=SITE3, verb="list", args={}, timeout=30.0)

    async def answered(query: Query) -> set[str]:
        found = await root.bus.request_many(subjects.ask_under("root"), query.pack(), timeout=2.0, stall=0.8)
        return {unpack(Said, message.data).path for message in found}

    assert await answered(query) == {SITE2, SITE3}
    assert await answered(query.model_copy(update={"last": SITE2})) == {SITE2}
    assert await answered(query.model_copy(update={"after": SITE2})) == {SITE3}
    assert await answered(query.model_copy(update={"asker": "root.west"})) == {SITE3}
    assert await answered(query.model_copy(update={"shim": "helm"})) == set()
    for payload in (b"\xff", b"{}", query.model_copy(update={"to": "((("}).pack()):
        assert await root.bus.request_many(subjects.ask_under("root"), payload, timeout=0.1, stall=0.1) == []
    assert set((await ask(root, ">"))["answers"]) == {SITE1, SITE2, SITE3}

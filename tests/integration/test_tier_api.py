"""The local API of a tier, as issue and contract say it: every endpoint, over a real tree."""

from __future__ import annotations

import asyncio

import pytest

from bus import messages
from bus.errors import BadRequest, Conflict, NotFound, Refused
from bus.event import new_id
from bus.types import OBSERVED
from tests.integration.tiers import LocalTier, Tiers, config, crowd
from tests.support import eventually
from tests.unit.store.samples import EPOCH, cluster

SITE1, SITE2, SITE3 = "root.east.site1", "root.east.site2", "root.west.site3"


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


async def test_submit_is_accepted_and_the_command_tells_what_became_of_it(root: LocalTier) -> None:
    answer = await root.submit("tag:camera", config("shop", color="red"), actor="ann")
    assert answer == {"id": answer["id"], "state": "accepted", "count": 2, "targets": [SITE1, SITE2]}
    command = await root.done(answer["id"])
    assert set(command) == {"id", "to", "do", "actor", "submitted", "targets", "summary"}
    assert (command["to"], command["do"], command["actor"]) == ("tag:camera", config("shop", color="red"), "ann")
    assert command["summary"] == {"succeeded": 2}
    target = command["targets"][SITE1]
    assert set(target) == {"state", "number", "receipts", "result"}
    assert (target["state"], target["number"]) == ("succeeded", 1)
    assert target["result"]["objects"][0]["result"] == "created"
    messages.CommandAnswer.model_validate(command)


async def test_submit_with_wait_answers_as_command_does(root: LocalTier) -> None:
    waited = await root.submit("tag:camera", "shop", wait=30)
    asked = await root.done(waited["id"])
    assert waited["summary"] == {"succeeded": 2}
    assert waited.keys() == asked.keys()
    for path, target in waited["targets"].items():
        same = asked["targets"][path]
        assert (target["state"], target["number"], target["result"]) == (same["state"], same["number"], same["result"])
        assert target["receipts"]["executed"] == same["receipts"]["executed"]


async def test_wait_ends_with_what_is_known_when_the_time_is_over(root: LocalTier, tiers: Tiers) -> None:
    await tiers[SITE1].link.cut()
    answer = await root.submit("tag:camera", "shop", wait=2.0)
    assert answer["summary"] == {"accepted": 1, "succeeded": 1}
    open_target = answer["targets"][SITE1]
    assert (open_target["state"], open_target["number"]) == ("accepted", 1)
    assert open_target["receipts"]["accepted"] == answer["submitted"]
    assert set(open_target["receipts"]["stored"]) == {"root.east"}
    await tiers[SITE1].link.heal()
    assert (await root.done(answer["id"]))["summary"] == {"succeeded": 2}


async def test_the_same_id_with_the_same_content_is_the_same_command(root: LocalTier) -> None:
    id = new_id()
    first = await root.submit("tag:camera", "shop", id=id, ttl=60)
    second = await root.submit("tag:camera", "shop", id=id, ttl=60)
    assert first == second
    waited = await root.submit("tag:camera", "shop", id=id, ttl=60, wait=30)
    assert (waited["id"], waited["summary"]) == (id, {"succeeded": 2})
    assert len(await root.log(type="ote.command.submitted.v1")) == 1


async def test_concurrent_submits_with_one_id_are_one_command(root: LocalTier) -> None:
    id = new_id()
    answers = await asyncio.gather(*(root.submit("tag:camera", "shop", id=id, wait=30) for _ in range(8)))
    assert {tuple(answer["summary"].items()) for answer in answers} == {(("succeeded", 2),)}
    assert len(await root.log(type="ote.command.submitted.v1")) == 1
    assert len(await root.log(type="ote.command.succeeded.v1")) == 2


@pytest.mark.parametrize("other", [{"to": "site1"}, {"do": config("other")}, {"ttl": 5}, {"key": "k"}, {"lane": "l"}])
async def test_the_same_id_with_another_content_is_a_conflict(tiers: Tiers, other: dict[str, object]) -> None:
    site1 = await tiers.grow("site1")
    id = new_id()
    await site1.submit("under:site1", "shop", id=id)
    body = {"to": "under:site1", "do": config("shop"), "id": id} | other
    with pytest.raises(Conflict, match=f"command {id} exists with another content") as caught:
        await site1.ask("submit", body)
    assert caught.value.field == "id"


async def test_requests_of_one_endpoint_run_while_one_waits(root: LocalTier, tiers: Tiers) -> None:
    await tiers[SITE1].link.cut()
    waiting = asyncio.create_task(root.submit("site1", "shop", wait=30))
    following = asyncio.create_task(root.ask("log", {"after": 10_000, "wait": 30}, timeout=40))
    for number in range(20):
        answer = await root.submit("site3", f"shop{number}", wait=30)
        assert answer["summary"] == {"succeeded": 1}
    assert not waiting.done() and not following.done()
    await tiers[SITE1].link.heal()
    assert (await waiting)["summary"] == {"succeeded": 1}
    following.cancel()


async def test_a_command_to_many_lists_the_first_hundred_and_pages_the_rest(tiers: Tiers) -> None:
    root = await tiers.grow("root")
    made = await crowd(root, 320, "paper")
    answer = await root.submit("tag:paper", "shop")
    assert (answer["count"], answer["targets"]) == (320, made[:100])
    found: list[str] = []
    after: dict[str, str] = {}
    sizes = []
    while True:
        page = await root.command(answer["id"], limit=150, **after)
        assert page["summary"] == {"accepted": 320}
        found += page["targets"]
        sizes.append(len(page["targets"]))
        if "next" not in page:
            break
        after = {"after": page["next"]}
    assert (found, sizes) == (made, [150, 150, 20])


async def test_clusters(root: LocalTier) -> None:
    clusters = await root.clusters()
    assert list(clusters) == ["root", "root.east", SITE1, SITE2, "root.west", SITE3]
    site2 = clusters[SITE2]
    assert (site2["path"], site2["name"], site2["tags"], site2["state"]) == (
        SITE2,
        "site2",
        ["camera", "zone=eu"],
        "online",
    )
    assert (site2["parent"], site2["attached_to"], site2["shims"]) == ("root.east", "root.east", ["local"])
    assert site2["last_seen"]

    async def no_lag() -> bool:
        return bool((await root.clusters())[SITE2]["lag"] == {"events": 0, "seconds": 0.0})

    await eventually(no_lag)
    assert clusters["root"]["parent"] is None
    assert list(await root.clusters(select="tag:zone=eu")) == [SITE2, SITE3]


async def test_clusters_are_paged(root: LocalTier) -> None:
    first = await root.ask("clusters", {"limit": 4})
    assert [row["path"] for row in first["clusters"]] == ["root", "root.east", SITE1, SITE2]
    assert first["next"] == SITE2
    rest = await root.ask("clusters", {"limit": 4, "after": first["next"]})
    assert [row["path"] for row in rest["clusters"]] == ["root.west", SITE3]
    assert "next" not in rest


async def test_commands_are_listed_the_latest_first(root: LocalTier, tiers: Tiers) -> None:
    await tiers[SITE3].link.cut()
    ids = [(await root.submit(to, "shop"))["id"] for to in ("site1", "tag:zone=eu", "site3", "tag:camera")]
    for id in (ids[0], ids[3]):
        await root.done(id)
    newest = await root.ask("commands", {"limit": 3})
    assert [row["id"] for row in newest["commands"]] == [ids[3], ids[2], ids[1]]
    rest = await root.ask("commands", {"limit": 3, "after": newest["next"]})
    assert [row["id"] for row in rest["commands"]] == [ids[0]]
    assert "next" not in rest
    pending = await root.ask("commands", {"pending": True})
    assert [row["id"] for row in pending["commands"]] == [ids[2], ids[1]]
    on_site1 = await root.ask("commands", {"on": "site1"})
    assert [(row["id"], row["count"]) for row in on_site1["commands"]] == [(ids[3], 2), (ids[0], 1)]
    messages.CommandsAnswer.model_validate(newest)
    await tiers[SITE3].link.heal()
    for id in ids:
        await root.done(id)
    assert (await root.ask("commands", {"pending": True}))["commands"] == []


async def test_the_log_is_paged_and_filtered(root: LocalTier) -> None:
    done = await root.submit("tag:camera", "shop", wait=30)
    await root.done(done["id"])
    events = await root.log()
    rows: list[dict[str, object]] = []
    after = 0
    while True:
        page = await root.ask("log", {"after": after, "limit": 3})
        messages.LogAnswer.model_validate(page)
        if not page["events"]:
            break
        rows += page["events"]
        after = page["next"]
    said = [row for row in rows if row["type"] != OBSERVED]
    assert said[: len(events)] == events
    assert {event["specversion"] for event in events} == {"1.0"}
    submitted = await root.log(type="ote.command.submitted.v1")
    assert [(event["source"], event["to"]) for event in submitted] == [("root", f"{SITE1}#1,{SITE2}#1")]
    assert {event["source"] for event in await root.log(source="under:root.east")} == {"root.east", SITE1, SITE2}
    assert {event["source"] for event in await root.log(source=SITE1)} == {SITE1}
    finals = await root.log(subject="ote.evt.command-succeeded.>")
    assert sorted(event["source"] for event in finals) == [SITE1, SITE2]
    assert await root.log(since="2100-01-01T00:00:00Z") == []


async def test_the_log_can_be_waited_for(root: LocalTier) -> None:
    last = (await root.ask("log", {"limit": 1000}))["next"]
    waiting = asyncio.create_task(
        root.ask("log", {"after": last, "wait": 30, "type": "ote.command.succeeded.v1"}, timeout=40)
    )
    done = await root.submit("site1", "shop", wait=30)
    found = await waiting
    assert [event["data"]["command"] for event in found["events"]] == [done["id"]]
    empty = await root.ask("log", {"after": 10_000, "wait": 0.05})
    assert empty["events"] == []


async def test_what_does_not_exist_is_not_found(root: LocalTier) -> None:
    nowhere = new_id()
    asks: list[tuple[str, dict[str, object]]] = [
        ("command", {"id": nowhere}),
        ("command", {"id": nowhere, "wait": 5}),
        ("cancel", {"id": nowhere}),
        ("resolve", {"id": nowhere, "target": SITE1, "as": "done"}),
    ]
    for name, body in asks:
        with pytest.raises(NotFound, match=f"no command {nowhere} here") as caught:
            await asyncio.wait_for(root.ask(name, body), 30)
        assert (caught.value.field, bool(caught.value.hint)) == ("id", True)
    done = await root.submit("site1", "shop", wait=30)
    for name, more in (("cancel", {}), ("resolve", {"as": "done"})):
        with pytest.raises(NotFound, match=f"was not sent to {SITE3}"):
            await root.ask(name, {"id": done["id"], "target": SITE3, **more})


async def test_only_what_is_in_doubt_can_be_resolved(root: LocalTier) -> None:
    done = await root.submit("site1", "shop", wait=30)
    await root.done(done["id"])
    with pytest.raises(Refused, match=r"is succeeded at root\.east\.site1, not in-doubt"):
        await root.ask("resolve", {"id": done["id"], "target": SITE1, "as": "done"})


async def test_waiting_for_a_command_that_is_over_does_not_wait(root: LocalTier) -> None:
    done = await root.submit("site1", "shop", wait=30)
    await root.done(done["id"])
    answer = await asyncio.wait_for(root.command(done["id"], wait=60), 30)
    assert answer["summary"] == {"succeeded": 1}


async def test_resolve_selector_and_status(root: LocalTier, tiers: Tiers) -> None:
    found = await root.ask("resolve_selector", {"select": "tag:camera"})
    assert found == {"targets": [SITE1, SITE2], "count": 2}
    first = await root.ask("resolve_selector", {"select": "tag:camera or tag:zone", "limit": 2})
    assert first == {"targets": [SITE1, SITE2], "count": 3, "next": SITE2}
    rest = await root.ask("resolve_selector", {"select": "tag:camera or tag:zone", "limit": 2, "after": SITE2})
    assert rest == {"targets": [SITE3], "count": 3}
    with pytest.raises(BadRequest, match="has the shim 'helm'"):
        await root.ask("resolve_selector", {"select": "tag:camera", "shim": "helm"})

    async def link_is_down() -> bool:
        return bool((await tiers[SITE3].ask("status"))["link"]["state"] == "down")

    await tiers[SITE3].link.cut()
    await root.sees(SITE3, "offline")
    sent = await root.submit("site3", "shop")
    status = await root.ask("status")
    messages.StatusAnswer.model_validate(status)
    assert (status["path"], status["link"]["state"], status["clusters"]["online"]) == ("root", "root", 5)
    assert [away["path"] for away in status["clusters"]["offline"]] == [SITE3]
    assert status["clusters"]["away"] == 1
    assert [(open["command"], open["target"]) for open in status["commands"]["oldest"]] == [(sent["id"], SITE3)]
    assert status["commands"]["open"] == 1
    await eventually(link_is_down)
    await tiers[SITE3].link.heal()
    await root.sees(SITE3, "online")
    await root.done(sent["id"])
    status = await root.ask("status")
    assert (status["clusters"]["offline"], status["commands"]["open"]) == ([], 0)


async def test_a_cluster_can_be_addressed_as_soon_as_it_is_in_the_log(root: LocalTier) -> None:
    path = "root.east.just-come"
    announced = cluster("announced", path, tags={}, shims=[{"kind": "local"}], parent="root.east")
    event = announced.seal(path, EPOCH, 1)
    await root.runtime.log.write(lambda tx: tx.record([event]))
    sent = await root.submit(path, "shop")
    assert sent["targets"] == [path]

"""How a command ends without being carried out: its time is over, a later one stands for it, it was taken back,
nobody can do it. The target decides, and says so; the origin only expects it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.errors import BadRequest, NotFound, Refused
from bus.event import parse_time
from tests.integration.tiers import Answer, LocalTier, Tiers, config
from tests.support import eventually

SITE1, SITE2 = "root.east.site1", "root.east.site2"
SHIFTED = Path(__file__).with_name("shifted_clock.py")
GET = {"verb": "get", "args": {"kind": "ConfigMap", "name": "shop"}}


@pytest.fixture
async def root(tiers: Tiers) -> LocalTier:
    root = await tiers.grow("root", shims=())
    east = await tiers.grow("root.east", root, shims=())
    await tiers.grow(SITE1, east, tags=["camera"])
    return root


async def numbers(tiers: Tiers, path: str) -> list[tuple[str, int]]:
    """What the target said of which command, in its order, with no mention of `received`."""
    events = await tiers[path].log(source=path)
    said = [(e["type"].split(".")[2], e["data"].get("command")) for e in events if e["type"].startswith("ote.command")]
    return [(kind, command) for kind, command in said if kind != "received"]


async def shop(tier: LocalTier) -> Answer:
    got = await tier.submit("site1", GET, wait=30)
    found: Answer = got["targets"][SITE1]["result"]
    return found


# Time to live ------------------------------------------------------------------------------------


async def test_what_comes_too_late_is_expired_by_the_target(root: LocalTier, tiers: Tiers) -> None:
    site = tiers[SITE1]
    await site.link.cut()
    late = await root.submit("site1", config("shop", color="late"), ttl=0.3)
    in_time = await root.submit("site1", config("shop", color="in time"), ttl=600)
    overdue = await root.becomes(late["id"], SITE1, "overdue")
    assert "error" not in overdue
    assert (await root.command(late["id"]))["summary"] == {"overdue": 1}
    assert (await root.target(in_time["id"], SITE1))["state"] == "accepted"
    await site.link.heal()
    expired = (await root.done(late["id"]))["targets"][SITE1]
    assert (expired["state"], expired["error"]["code"]) == ("expired", "expired")
    assert (await root.done(in_time["id"]))["summary"] == {"succeeded": 1}
    assert (await shop(root))["data"] == {"color": "in time"}
    await site.tells("received", SITE1, [late["id"], in_time["id"], *(await site.told("received", SITE1))[2:]])


@pytest.mark.parametrize(("ahead", "which"), [(3600, "ahead"), (-3600, "behind")])
async def test_the_origins_clock_counts_whatever_the_targets_says(tiers: Tiers, ahead: int, which: str) -> None:
    """The site's clock is an hour wrong: what is in time is carried out, what is late is not."""
    root = await tiers.grow("root", shims=())
    east = await tiers.grow("root.east", root, shims=())
    site = await tiers.spawn(SITE1, east, program=[str(SHIFTED), str(ahead)])
    in_time = await root.submit("site1", "shop", ttl=60, wait=30)
    assert in_time["summary"] == {"succeeded": 1}
    receipts = in_time["targets"][SITE1]["receipts"]
    off = parse_time(receipts["executed"]) - parse_time(receipts["accepted"])
    assert abs(off.total_seconds() - ahead) < 30
    await site.link.cut()
    late = await root.submit("site1", "late", ttl=0.3)
    await root.becomes(late["id"], SITE1, "overdue")
    await site.link.heal()
    assert (await root.done(late["id"]))["summary"] == {"expired": 1}


# Supersede ---------------------------------------------------------------------------------------


async def test_a_site_that_was_away_gets_the_last_wish_and_not_the_history(root: LocalTier, tiers: Tiers) -> None:
    site = tiers[SITE1]
    await site.link.cut()
    sent = [await root.submit("site1", config("shop", wish=str(n), text="x" * 20_000), key="shop") for n in range(5)]
    other = await root.submit("site1", "other", key="other")
    for answer in sent[:-1]:
        assert (await root.target(answer["id"], SITE1))["state"] == "superseding"
    before = site.link.down.sent
    await site.link.heal()
    assert (await root.done(sent[-1]["id"]))["summary"] == {"succeeded": 1}
    for answer in sent[:-1]:
        assert (await root.done(answer["id"]))["summary"] == {"superseded": 1}
    assert (await root.done(other["id"]))["summary"] == {"succeeded": 1}
    said = await numbers(tiers, SITE1)
    assert [command for kind, command in said if kind == "superseded"] == [answer["id"] for answer in sent[:-1]]
    assert [command for kind, command in said if kind == "succeeded"] == [sent[-1]["id"], other["id"]]
    assert (await shop(root))["data"]["wish"] == "4"
    # Of 100 KB of history one body travelled.
    assert site.link.down.sent - before < 50_000


async def test_a_key_is_a_wish_at_each_target_for_itself(root: LocalTier, tiers: Tiers) -> None:
    await tiers.grow(SITE2, tiers["root.east"], tags=["camera"])
    await tiers[SITE1].link.cut()
    first = await root.submit("tag:camera", config("shop", wish="1"), key="shop")
    await root.becomes(first["id"], SITE2, "succeeded")
    second = await root.submit("tag:camera", config("shop", wish="2"), key="shop")
    await tiers[SITE1].link.heal()
    first_done = await root.done(first["id"])
    assert {path: target["state"] for path, target in first_done["targets"].items()} == {
        SITE1: "superseded",
        SITE2: "succeeded",
    }
    assert (await root.done(second["id"]))["summary"] == {"succeeded": 2}
    superseded = [e for e in await root.log(type="ote.command.superseded.v1")]
    assert [(e["source"], e["data"]["by"]) for e in superseded] == [(SITE1, second["id"])]


async def test_the_same_key_from_two_origins_does_not_supersede(root: LocalTier, tiers: Tiers) -> None:
    """A cover stands for numbers of its own mailbox alone."""
    await tiers[SITE1].link.cut()
    theirs = await root.submit("site1", config("shop", wish="root"), key="shop")
    ours = await tiers["root.east"].submit("site1", config("shop", wish="east"), key="shop")
    await tiers[SITE1].link.heal()
    assert (await root.done(theirs["id"]))["summary"] == {"succeeded": 1}
    assert (await tiers["root.east"].done(ours["id"]))["summary"] == {"succeeded": 1}


# Cancel ------------------------------------------------------------------------------------------


async def test_what_was_not_delivered_is_cancelled(root: LocalTier, tiers: Tiers) -> None:
    await tiers.grow(SITE2, tiers["root.east"], tags=["camera"])
    site = tiers[SITE1]
    await site.link.cut()
    sent = await root.submit("tag:camera", config("shop", text="x" * 20_000))
    after = await root.submit("site1", "after")
    await root.becomes(sent["id"], SITE2, "succeeded")
    before = site.link.down.sent
    answer = await root.ask("cancel", {"id": sent["id"]})
    assert answer == {"id": sent["id"], "state": "cancelling", "count": 1, "targets": [SITE1]}
    assert (await root.target(sent["id"], SITE1))["state"] == "cancelling"
    await site.link.heal()
    done = await root.done(sent["id"])
    assert done["summary"] == {"cancelled": 1, "succeeded": 1}
    assert (await root.done(after["id"]))["summary"] == {"succeeded": 1}
    assert site.link.down.sent - before < 15_000
    got = await root.submit("site1", GET, wait=30)
    assert got["targets"][SITE1]["error"]["code"] == "not-found"


async def test_one_target_can_be_cancelled(root: LocalTier, tiers: Tiers) -> None:
    await tiers.grow(SITE2, tiers["root.east"], tags=["camera"])
    await tiers["root.east"].link.cut()
    sent = await root.submit("tag:camera", "shop")
    answer = await root.ask("cancel", {"id": sent["id"], "target": SITE2})
    assert answer["targets"] == [SITE2]
    await tiers["root.east"].link.heal()
    done = await root.done(sent["id"])
    assert {path: target["state"] for path, target in done["targets"].items()} == {
        SITE1: "succeeded",
        SITE2: "cancelled",
    }


async def test_only_the_tier_of_the_submit_cancels(root: LocalTier, tiers: Tiers) -> None:
    site, east = tiers[SITE1], tiers["root.east"]
    await site.link.cut()
    sent = await root.submit("site1", "shop")

    async def known() -> bool:
        try:
            return bool(await east.command(sent["id"]))
        except NotFound:
            return False

    await eventually(known)
    with pytest.raises(Refused, match="was submitted at root, and is cancelled there") as caught:
        await east.ask("cancel", {"id": sent["id"]})
    assert caught.value.field == "id"
    await site.link.heal()
    assert (await root.done(sent["id"]))["summary"] == {"succeeded": 1}


async def test_what_is_over_is_not_cancelled(root: LocalTier, tiers: Tiers) -> None:
    done = await root.submit("site1", "shop", wait=30)
    await root.done(done["id"])
    before = await root.log()
    answer = await root.ask("cancel", {"id": done["id"]})
    assert (answer["count"], answer["targets"]) == (0, [])
    assert await root.log() == before


# Refused, failed, too large ----------------------------------------------------------------------


async def test_a_shim_that_is_gone_when_the_command_comes_refuses_it(root: LocalTier, tiers: Tiers) -> None:
    site = tiers[SITE1]
    assert isinstance(site, LocalTier)
    await site.link.cut()
    sent = await root.submit("site1", {**config("shop"), "shim": "local"})
    await site.stop()
    site._settings = site._settings.model_copy(update={"shims": ["helm"]})
    await site.start()
    await site.link.heal()
    refused = (await root.done(sent["id"]))["targets"][SITE1]
    assert (refused["state"], refused["error"]["code"]) == ("refused", "no-shim")
    assert "it has: helm" in refused["error"]["message"]


async def test_what_fails_says_why(root: LocalTier) -> None:
    sent = await root.submit("site1", {"verb": "apply", "args": {"manifest": {"kind": "Pod"}}}, wait=30)
    failed = sent["targets"][SITE1]
    assert failed["state"] == "failed"
    assert {"code", "message"} <= failed["error"].keys()
    unknown = await root.submit("site1", {"verb": "explode"}, wait=30)
    assert unknown["targets"][SITE1]["error"]["code"] == "unknown-verb"
    assert (await root.submit("site1", "shop", wait=30))["summary"] == {"succeeded": 1}


async def test_a_command_that_no_message_holds_is_refused_at_submit(root: LocalTier) -> None:
    before = await root.log()
    # The request itself travels in one message: what has no room left for its addressees is too large.
    text = "x" * (1024 * 1024 - 250)
    with pytest.raises(BadRequest, match="bytes as a message, the server takes 1,048,576") as caught:
        await root.submit("site1", {"verb": "apply", "args": {"text": text}})
    assert caught.value.field == "do"
    assert await root.log() == before
    with pytest.raises(BadRequest, match="more than the server takes"):
        await root.submit("site1", config("shop", text="x" * 2_000_000))
    fits = await root.submit("site1", config("shop", text="x" * 900_000), wait=30)
    assert fits["summary"] == {"succeeded": 1}


async def test_a_result_that_is_too_large_is_cut_with_a_note(root: LocalTier) -> None:
    await root.submit("site1", config("shop", text="x" * 300_000), wait=30)
    got = await root.submit("site1", GET, wait=30)
    target = got["targets"][SITE1]
    assert target["state"] == "succeeded"
    assert target["result"]["truncated"] is True
    assert target["result"]["bytes"] > 300_000

"""Tags at run time: a command like any other, recorded at the cluster, kept over restarts and outages, and followed
at once by selectors and interest."""

from __future__ import annotations

from typing import Any

import pytest

from bus import messages
from bus.errors import BadRequest, NotFound
from tests.integration.tiers import Answer, LocalTier, Tiers
from tests.support import eventually

EAST, SITE = "root.east", "root.east.site"


@pytest.fixture
async def root(tiers: Tiers) -> LocalTier:
    root = await tiers.grow("root", shims=())
    east = await tiers.grow(EAST, root, shims=())
    await tiers.grow(SITE, east, tags=["camera", "zone=eu"])
    return root


async def tag(tier: LocalTier, path: str | None = None, **more: Any) -> Answer:
    body = {"wait": 30, **more} | ({"path": path} if path else {})
    answer = await tier.ask("tag", body, timeout=40)
    messages.CommandAnswer.model_validate(answer)
    return answer


async def carries(tier: LocalTier, path: str, *tags: str) -> None:
    """Returns when this tier knows the cluster with exactly these tags."""

    async def so() -> bool:
        return bool((await tier.clusters())[path]["tags"] == list(tags))

    await eventually(so, what=f"{tier.path} sees {path} with {tags}")


async def test_a_cluster_changes_its_own_tags(root: LocalTier, tiers: Tiers) -> None:
    site = tiers[SITE]
    done = await tag(site, set={"night": "", "zone": "us"}, unset=["camera"], actor="ann")
    assert done["targets"][SITE]["result"] == {"tags": ["night", "zone=us"]}
    for tier in (site, tiers[EAST], root):
        await carries(tier, SITE, "night", "zone=us")
    for selector in ("tag:night", "tag:zone=us"):
        assert (await root.submit(selector, "shop", wait=30))["summary"] == {"succeeded": 1}
        assert list((await root.ask("ask", {"to": selector, "do": {"verb": "list"}}))["answers"]) == [SITE]
    for gone in ("tag:camera", "tag:zone=eu"):
        with pytest.raises(NotFound):
            await root.submit(gone, "shop")
    # Who did it is in the log, up to the root.
    submitted = (await root.log(type="ote.command.submitted.v1", source=SITE))[0]
    assert (submitted["actor"], submitted["data"]["command"]) == ("ann", done["id"])
    # The same again changes nothing, and announces nothing.
    before = await site.log(type="ote.cluster.announced.v1", source=SITE)
    again = await tag(site, set={"night": "", "zone": "us"}, unset=["camera"])
    assert again["targets"][SITE]["result"] == {"tags": ["night", "zone=us"]}
    assert await site.log(type="ote.cluster.announced.v1", source=SITE) == before


async def test_tags_outlive_restarts_and_win_over_those_of_the_start(root: LocalTier, tiers: Tiers) -> None:
    site = tiers[SITE]
    await tag(site, set={"zone": "us"}, unset=["camera"])
    await tag(site, set={"night": ""})
    for _ in range(2):
        await site.stop()
        await site.start()
        await carries(site, SITE, "night", "zone=us")
        await root.sees(SITE, "online")
        await carries(root, SITE, "night", "zone=us")
    await tag(site, set={"camera": ""}, unset=["night"])
    await site.stop()
    await site.start()
    await carries(site, SITE, "camera", "zone=us")


async def test_a_tag_from_above_waits_for_a_cluster_that_is_away(root: LocalTier, tiers: Tiers) -> None:
    site = tiers[SITE]
    await site.link.cut()
    await root.sees(SITE, "offline")
    sent = await root.ask("tag", {"path": SITE, "set": {"zone": "us"}})
    assert (sent["state"], sent["targets"]) == ("accepted", [SITE])
    # What it does meanwhile by itself comes first at the site, and what was sent is done when it comes.
    await tag(site, set={"zone": "local", "night": ""})
    # Mail by a tag that it has lost since is delivered all the same: whom a command goes to was decided.
    late = await root.submit("tag:camera", "shop")
    await tag(site, unset=["camera"])
    await site.link.heal()
    assert (await root.done(sent["id"]))["summary"] == {"succeeded": 1}
    assert (await root.done(late["id"]))["summary"] == {"succeeded": 1}
    await carries(root, SITE, "night", "zone=us")
    await site.stop()
    await site.start()
    await carries(site, SITE, "night", "zone=us")


async def test_many_at_once_and_tiers_that_only_route(root: LocalTier, tiers: Tiers) -> None:
    await tiers[EAST].link.heal()
    do = {"shim": "tier", "verb": "tag", "args": {"set": {"fleet": "blue"}}}
    done = await root.submit(">", do, wait=30)
    assert (done["summary"], list(done["targets"])) == ({"succeeded": 3}, ["root", EAST, SITE])
    for path, tags in (("root", ["fleet=blue"]), (EAST, ["fleet=blue"]), (SITE, ["camera", "fleet=blue", "zone=eu"])):
        await carries(root, path, *tags)
    # Ten changes, sent without waiting, are done in their order.
    sent = [await root.ask("tag", {"path": SITE, "set": {"step": str(n), f"s{n}": ""}}) for n in range(10)]
    await root.done(sent[-1]["id"])
    await carries(root, SITE, "camera", "fleet=blue", *(f"s{n}" for n in range(10)), "step=9", "zone=eu")
    await tiers[SITE].stop()
    await tiers[SITE].start()
    await carries(tiers[SITE], SITE, "camera", "fleet=blue", *(f"s{n}" for n in range(10)), "step=9", "zone=eu")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "set"),
        ({"set": {"a b": ""}}, "set"),
        ({"set": {"zone": "e u"}}, "set"),
        ({"set": {"zone": 7}}, "set.zone"),
        ({"unset": ["-"]}, "unset"),
        ({"set": {"zone": "eu"}, "unset": ["zone"]}, "unset"),
        ({"set": {"zone": "eu"}, "path": "a b"}, "path"),
    ],
)
async def test_what_is_no_tag_is_refused(tiers: Tiers, body: Answer, field: str) -> None:
    site = await tiers.grow("site")
    with pytest.raises(BadRequest) as caught:
        await site.ask("tag", body)
    assert caught.value.field == field
    with pytest.raises(NotFound, match=r"no cluster site\.x at or below site"):
        await site.ask("tag", {"set": {"zone": "eu"}, "path": "site.x"})
    # A command that was not checked at its origin is checked where it is done.
    if "path" not in body:
        done = await site.submit("site", {"shim": "tier", "verb": "tag", "args": body}, wait=30)
        assert done["targets"]["site"]["error"]["code"] == "bad-request"
    other = await site.submit("site", {"shim": "tier", "verb": "reboot"}, wait=30)
    assert other["targets"]["site"]["error"]["code"] == "unknown-verb"

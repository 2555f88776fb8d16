"""What did not succeed is tried again by a person: as a new command that names the old one as its cause, or, where
it is in doubt, under its own id."""

from __future__ import annotations

import pytest

from bus import messages
from bus.errors import NotFound, Refused
from bus.event import new_id
from tests.integration.gate import Gate
from tests.integration.tiers import Answer, LocalTier, Tiers

SITE = "root.site"
BUMP = {"verb": "bump", "args": {}}
GET = {"verb": "get", "args": {"kind": "ConfigMap", "name": "shop", "namespace": "default"}}


async def retry(tier: LocalTier, id: str, **more: object) -> Answer:
    answer = await tier.ask("retry", {"id": id, "target": SITE, **more})
    messages.RetryAnswer.model_validate(answer)
    return answer


async def test_what_failed_is_submitted_anew_with_its_cause(tiers: Tiers) -> None:
    root = await tiers.grow("root", shims=())
    await tiers.grow(SITE, root)
    failed = await root.submit("site", GET, key="shop", lane="a", ttl=60, wait=30)
    await root.becomes(failed["id"], SITE, "failed")
    await root.submit("site", "shop", wait=30)
    new = new_id()
    answer = await retry(root, failed["id"], new=new, actor="ann")
    assert answer == {"id": new, "target": SITE, "retries": failed["id"]}
    # Asked twice under one id, it is one retry.
    assert await retry(root, failed["id"], new=new, actor="ann") == answer
    again = await root.done(new)
    assert (again["summary"], again["do"], again["actor"]) == ({"succeeded": 1}, GET, "ann")
    first, _, second = await root.log(type="ote.command.submitted.v1")
    assert (second["cause"], second["data"]["lane"], "key" in second["data"]) == (first["id"], "a", False)
    assert second["expiresat"] > first["expiresat"]
    for id, state in ((new, "succeeded"), (failed["id"], "failed")):
        assert (await root.target(id, SITE))["state"] == state
    with pytest.raises(Refused, match=f"is succeeded at {SITE}"):
        await retry(root, new)
    with pytest.raises(NotFound, match="no command"):
        await retry(root, new_id())
    with pytest.raises(NotFound, match="was not sent to root"):
        await root.ask("retry", {"id": new, "target": "root"})


async def test_what_expired_is_tried_again_and_what_is_on_its_way_is_not(tiers: Tiers) -> None:
    root = await tiers.grow("root", shims=())
    site = await tiers.grow(SITE, root)
    await site.link.cut()
    late, open = await root.submit("site", "shop", ttl=0.2), await root.submit("site", "cart")
    await root.becomes(late["id"], SITE, "overdue")
    for id in (late["id"], open["id"]):
        with pytest.raises(Refused, match="is accepted at"):
            await retry(root, id)
    await site.link.heal()
    await root.becomes(late["id"], SITE, "expired")
    answer = await retry(root, late["id"], ttl=60.0)
    assert (await root.done(answer["id"]))["summary"] == {"succeeded": 1}


async def test_what_is_in_doubt_goes_on_under_its_own_id(tiers: Tiers) -> None:
    root = await tiers.grow("root", shims=())
    site = await tiers.spawn(SITE, root, shims=["gate"])
    async with Gate(site.info["nats"]) as gate:
        id = (await root.submit("site", BUMP))["id"]
        await gate.holds(id)
        await site.kill()
        gate.forget()
        await site.start()
        await root.becomes(id, SITE, "in-doubt", 15)
        assert await retry(root, id) == {"id": id, "target": SITE, "retries": id}
        await gate.holds(id)
        gate.let(id)
        await root.becomes(id, SITE, "succeeded")
        assert gate.ids == [id, id]


async def test_what_is_in_doubt_and_too_late_is_decided_first(tiers: Tiers) -> None:
    site = await tiers.grow("site", shims=["gate"])
    async with Gate(site.info["nats"]) as gate:
        id = (await site.submit("site", BUMP, ttl=0.5))["id"]
        await gate.holds(id)
        await site.becomes(id, "site", "in-doubt")
        with pytest.raises(Refused, match="its time to live is over") as caught:
            await site.ask("retry", {"id": id, "target": "site"})
        assert "--as failed" in str(caught.value.hint)
        with pytest.raises(Refused, match="its time to live is over: it would not be done"):
            await site.ask("resolve", {"id": id, "target": "site", "as": "retry"})
        await site.becomes(id, "site", "in-doubt")
        await site.ask("resolve", {"id": id, "target": "site", "as": "failed"})
        await site.becomes(id, "site", "failed")
        again = (await site.ask("retry", {"id": id, "target": "site", "ttl": 60.0}))["id"]
        await gate.holds(id, again)
        gate.let(again)
        await site.becomes(again, "site", "succeeded")

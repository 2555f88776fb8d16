"""A tier that is killed in the middle: what is safe is done again, what is not is in doubt, until a person says
what became of it."""

from __future__ import annotations

import pytest

from bus.errors import Refused
from tests.integration.gate import Gate
from tests.integration.tiers import Answer, LocalTier, ProcessTier, Tiers, config

SITE = "root.site"
BUMP = {"verb": "bump", "args": {}}


async def grown(tiers: Tiers) -> tuple[LocalTier, ProcessTier]:
    root = await tiers.grow("root", shims=())
    return root, await tiers.spawn(SITE, root, shims=["gate"])


async def test_what_is_in_doubt_is_resolved_by_a_person(tiers: Tiers) -> None:
    root, site = await grown(tiers)
    async with Gate(site.info["nats"]) as gate:
        ids = [(await root.submit("site", BUMP, lane=lane))["id"] for lane in ("a", "b", "c")]
        safe = (await root.submit("site", config("shop")))["id"]
        await gate.holds(*ids, safe)
        waits = (await root.submit("site", BUMP, lane="a"))["id"]
        await root.becomes(waits, SITE, "received")
        await site.kill()
        gate.forget()
        await site.start()

        for id in ids:
            doubt = await root.becomes(id, SITE, "in-doubt", 15)
            assert doubt["error"]["code"] == "in-doubt"
            assert {"accepted", "delivered", "started"} <= doubt["receipts"].keys()
        await gate.holds(safe, waits)
        assert gate.ids.count(safe) == 2
        assert [request["attempt"] for request in gate.asked if request["id"] == safe] == [1, 2]
        for id in (safe, waits):
            gate.let(id)
            assert (await root.done(id))["summary"] == {"succeeded": 1}
        status = await root.ask("status")
        assert {open["command"] for open in status["commands"]["in_doubt"]} == set(ids)

        done, failed, retry = ids
        for id, verdict in ((done, "done"), (failed, "failed"), (retry, "retry")):
            answer = await root.ask("resolve", {"id": id, "target": SITE, "as": verdict})
            assert answer == {"id": id, "target": SITE, "as": verdict}
        assert (await root.becomes(done, SITE, "succeeded"))["result"] == {"resolved": "done"}
        assert (await root.becomes(failed, SITE, "failed"))["error"]["code"] == "resolved"
        await gate.holds(retry)
        gate.let(retry, {"ok": True, "result": "bumped"})
        assert (await root.becomes(retry, SITE, "succeeded"))["result"] == "bumped"
        # Nothing was repeated that nobody asked for.
        assert [gate.ids.count(id) for id in (done, failed, retry)] == [1, 1, 2]
        assert (await root.ask("status"))["commands"]["in_doubt"] == []
        for id in ids:
            with pytest.raises(Refused, match="not in-doubt"):
                await root.ask("resolve", {"id": id, "target": SITE, "as": "retry"})


async def test_a_site_that_is_cut_off_resolves_its_own_doubts(tiers: Tiers) -> None:
    root, site = await grown(tiers)
    async with Gate(site.info["nats"]) as gate:
        id = (await root.submit("site", BUMP))["id"]
        await gate.holds(id)
        await site.kill()
        await site.link.cut()
        await site.start()
        await site.becomes(id, SITE, "in-doubt")
        await site.ask("resolve", {"id": id, "target": SITE, "as": "done"})
        at_site = await site.becomes(id, SITE, "succeeded")
        await site.link.heal()
        seen: Answer = await root.becomes(id, SITE, "succeeded", 15)
        assert seen["receipts"]["executed"] == at_site["receipts"]["executed"]
        assert gate.ids == [id]


async def test_a_shim_that_dies_in_the_middle_leaves_a_doubt(tiers: Tiers) -> None:
    """The tier lives: it learns that its shim is gone only by the end of the time to live."""
    root = await tiers.grow("root", shims=())
    site = await tiers.grow(SITE, root, shims=["gate"])
    async with Gate(site.info["nats"]) as gate:
        id = (await root.submit("site", BUMP, ttl=1.0))["id"]
        await gate.holds(id)
    doubt = await root.becomes(id, SITE, "in-doubt")
    assert doubt["error"]["code"] == "in-doubt"
    await root.ask("resolve", {"id": id, "target": SITE, "as": "failed"})
    await root.becomes(id, SITE, "failed")

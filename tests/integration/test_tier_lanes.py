"""In a backlog what somebody waits for goes ahead of the rest, and every stream is dense and in order all the same."""

from __future__ import annotations

from bus import subjects
from bus.event import Draft, Event
from store.api import Tx
from tests.integration.tiers import Tiers
from tests.support import eventually

SITE = "root.site"
SAMPLE = "ote.test.sampled.v1"
MANY = 3000


async def test_results_go_ahead_of_a_backlog(tiers: Tiers) -> None:
    root = await tiers.grow("root", shims=())
    site = await tiers.grow(SITE, root)
    await site.link.cut()
    await root.sees(SITE, "offline")

    def op(tx: Tx[Event]) -> None:
        for number in range(MANY):
            tx.append(Draft(SAMPLE, subjects.event(SAMPLE, SITE), {"value": number, "filler": "x" * 200}))

    await site.runtime.log.write(op)
    done = await site.submit("site", "shop", wait=30)
    await site.done(done["id"])
    held = await site.runtime.log.read(lambda reader: reader.streams(SITE))
    await site.link.heal()

    async def whole() -> bool:
        there = await root.runtime.log.read(lambda reader: reader.streams(SITE))
        return all(there.get(stream, 0) >= count for stream, count in held.items())

    await eventually(whole, 30, what="the root has all of the site")
    rows = await root.runtime.log.read(lambda reader: reader.events(source=SITE, limit=2 * MANY))
    kinds = [stored.event.type.split(".")[2] for stored in rows]
    assert kinds.count("sampled") == MANY and kinds.count("succeeded") == 1
    assert kinds.index("succeeded") < kinds.index("sampled") + 300
    assert (await root.command(done["id"]))["summary"] == {"succeeded": 1}

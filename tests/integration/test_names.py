"""A path is who a cluster is: it does not change, and who is joined under another name is another cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.errors import StoreError
from tests.integration.tiers import Api, Tiers, config
from tests.support import eventually

SITE, OTHER = "root.site", "root.other"


async def test_under_another_name_it_is_another_cluster_and_the_first_is_awaited(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        root = await tiers.grow("root", shims=())
        site = await tiers.grow(SITE, root, tags=["camera"])
        assert (await root.submit("tag:camera", config("before"), wait=30))["summary"] == {"succeeded": 1}
        await site.stop()
        await root.sees(SITE, "offline")
        waiting = (await root.submit("tag:camera", config("while-away")))["id"]
        with pytest.raises(StoreError, match=SITE):
            await tiers.grow(OTHER, root, state=site.state)
        other = await tiers.grow(OTHER, root, tags=["camera"])
        both = (await root.submit("tag:camera", config("both")))["id"]
        await root.becomes(both, OTHER, "succeeded")
        assert set((await root.command(waiting))["targets"]) == {SITE}, "what was sent keeps its addressees"
        assert not [event for event in await other.log() if event["source"] == SITE]
        await site.start()
        for id in (waiting, both):
            done = await root.done(id)
            assert set(done["summary"]) == {"succeeded"}
        await root.sees(SITE, "online")
        await eventually(lambda: _has_said(root, site), what="the root has all that the site said, in its order")


async def _has_said(root: Api, site: Api) -> bool:
    return await root.told("succeeded", SITE) == await site.told("succeeded", SITE)

"""A tree that ran on a password is given credentials, tier by tier from the root down: nothing of its history is lost,
and what was under way is done once."""

from __future__ import annotations

from pathlib import Path

from leafnodes.credentials.store import State
from leafnodes.credentials.tier import Credentials
from services.tier import joining
from tests.integration.credentials_kit import token
from tests.integration.tiers import LocalTier, Tiers, config

EAST, SITE, OTHER = "root.east", "root.east.site1", "root.east.site2"


async def joined(tiers: Tiers, tier: LocalTier, parent: LocalTier, *, wait: bool = True) -> LocalTier:
    """The same tier on the same directory, as `ote join` and its next start make it."""
    given = await token(parent, tier.path)
    await tier.stop()
    await joining.join(given, tier.state, lambda _: None)
    shims = tuple(tier.runtime.settings.shims)
    return await tiers.grow(tier.path, parent, state=tier.state, shims=shims, wait=wait)


async def test_a_tree_with_a_password_is_given_credentials_tier_by_tier(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        root = await tiers.grow("root", shims=())
        east = await tiers.grow(EAST, root, shims=())
        site = await tiers.grow(SITE, east)
        other = await tiers.grow(OTHER, east)
        sent = [(await root.submit(SITE, config(f"before-{n}"), wait=30))["id"] for n in range(3)]
        own = await site.submit(SITE, config("of-its-own"), wait=30)
        await root.tells("succeeded", SITE, [*sent, own["id"]])

        await root.stop()
        Credentials.found(root.state, State(path="root"))
        await root.start()
        late = await root.submit(SITE, config("meanwhile"))
        new_east = await joined(tiers, east, root)
        assert (await new_east.submit(EAST + ".site1", config("from-the-region")))["targets"] == [SITE]
        new_site = await joined(tiers, site, new_east, wait=False)
        await new_east.sees(SITE, "online")
        await root.sees(SITE, "online")
        await root.done(late["id"])
        assert (await root.submit(SITE, config("after"), wait=30))["summary"] == {"succeeded": 1}
        # The other is still as it was: it goes on by itself, and comes when it has joined.
        waiting = await root.submit(OTHER, config("later"))
        alone = await other.submit(OTHER, config("alone"), wait=30)
        assert alone["summary"] == {"succeeded": 1}
        new_other = await joined(tiers, other, new_east, wait=False)
        await root.sees(OTHER, "online")
        await root.done(waiting["id"])
        await root.tells("succeeded", OTHER, [waiting["id"], alone["id"]])
        for done in (*sent, own["id"], late["id"]):
            assert (await root.ask("command", {"id": done}))["summary"] == {"succeeded": 1}
        assert len([o for o in (await new_site.ask("objects"))["objects"] if o["name"].startswith("before")]) == 3
        assert new_other.runtime.credentials is not None

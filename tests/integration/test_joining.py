"""How clusters come into a tree and go from it: tokens, admission, rotation, revocation, and coming back."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from bus.errors import BadRequest, Refused
from bus.types import ADMITTED, REFUSED_CLUSTER, REVOKED
from leafnodes.credentials.joining import Token
from leafnodes.credentials.tier import Credentials
from leafnodes.monitor import LeafLink
from services.tier import joining
from tests.integration.credentials_kit import admit, token, trusted
from tests.integration.tiers import LocalTier, Tiers, config
from tests.support import eventually

SITE = "root.site"


async def said(tier: LocalTier, *types: str) -> list[dict[str, Any]]:
    """The data of the events of these types in a tier's log."""
    stored = await tier.runtime.log.read(lambda reader: reader.events(types=types, limit=100))
    return [dict(each.event.data) for each in stored]


def keys_of(tier: LocalTier) -> Credentials:
    found = tier.runtime.credentials
    assert found is not None
    return found


async def works(root: LocalTier, path: str, name: str) -> None:
    """A command gets there, and its result back."""
    assert (await root.submit(path, config(name), wait=30))["summary"] == {"succeeded": 1}


async def test_a_token_admits_one_key_and_the_same_again(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        root = await trusted(tiers, "root", shims=())
        given = await token(root, SITE, tags=["camera"])
        state = tmp_path / "site"
        first = await joining.join(given, state, lambda _: None)
        again = await joining.join(given, state, lambda _: None)
        assert first.public == again.public
        admitted = await said(root, ADMITTED)
        assert [(each["path"], each["key"], each["tags"], each["token"]) for each in admitted] == [
            (SITE, first.public.cluster, {"camera": ""}, given.id)
        ]
        with pytest.raises(Refused, match="used already"):
            await joining.join(given, tmp_path / "thief", lambda _: None)
        assert [each["path"] for each in await said(root, REFUSED_CLUSTER)] == [SITE]
        other = await token(root, SITE)
        with pytest.raises(Refused, match="has another key"):
            await joining.join(other, tmp_path / "rival", lambda _: None)
        with pytest.raises(BadRequest, match="no child of root"):
            await token(root, "root.east.site")
        site = await tiers.grow(SITE, root, state=state)
        await works(root, "tag:camera", "joined")
        assert given.secret not in (tmp_path / "root-state" / "log.db").read_bytes().decode("latin-1")
        assert (await site.clusters())[SITE]["tags"] == ["camera"]


async def test_who_must_be_accepted_waits_for_it(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        root = await trusted(tiers, "root")
        given = await token(root, SITE, approval=True)
        told: list[str] = []
        joins = asyncio.create_task(joining.join(given, tmp_path / "site", told.append))
        waiting = await eventually(lambda: root_waits(root), what="the root knows who waits")
        assert [row["path"] for row in waiting] == [SITE]
        await eventually(lambda: any("ote accept" in word for word in told), what="the site says what it waits for")
        assert not await said(root, ADMITTED)
        accept = {"shim": "tier", "verb": "accept", "args": {"path": SITE}}
        assert (await root.submit("path:root", accept, wait=30))["summary"] == {"succeeded": 1}
        await joins
        assert not await root_waits(root)
        await tiers.grow(SITE, root, state=tmp_path / "site")
        await works(root, SITE, "accepted")


async def root_waits(root: LocalTier) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await root.ask("applicants"))["applicants"]
    return rows


async def test_who_is_revoked_is_cut_off_at_once_and_comes_back_with_new_keys_only(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        root = await trusted(tiers, "root")
        site = await trusted(tiers, SITE, root)
        other = await trusted(tiers, "root.other", root)
        await works(root, SITE, "before")
        links = {link.path: link.id for link in await links_of(root)}
        revoke = {"shim": "tier", "verb": "revoke", "args": {"path": SITE}}
        assert (await root.submit("path:root", revoke, wait=30))["summary"] == {"succeeded": 1}
        await eventually(lambda: _is_gone(root, SITE), what="its link is cut")
        assert {link.path: link.id for link in await links_of(root)} == {"root.other": links["root.other"]}
        assert [each["path"] for each in await said(root, REVOKED)] == [SITE]
        await root.sees(SITE, "offline")
        assert (await root.ask("commands", {"limit": 10}))["commands"], "its history stays"
        await works(root, "root.other", "others-go-on")
        with pytest.raises(Refused, match="revoked"):
            await _rejoin(site, await token(root, SITE))
        await site.stop()
        late = await root.submit(SITE, config("late"))
        fresh = tmp_path / "fresh"
        await joining.join(await token(root, SITE), fresh, lambda _: None)
        await tiers.grow(SITE, root, state=fresh)
        await root.done(late["id"])
        assert other.runtime.credentials is not None


async def links_of(tier: LocalTier) -> list[LeafLink]:
    assert tier.runtime.server is not None
    return await tier.runtime.server.leafz()


async def _is_gone(root: LocalTier, path: str) -> bool:
    return path not in [link.path for link in await links_of(root)]


async def _rejoin(site: LocalTier, given: Token) -> dict[str, Any]:
    return await site.ask("rejoin", {"token": given.text()}, timeout=40)


async def test_credentials_are_renewed_before_they_end_while_commands_fly(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        root = await trusted(tiers, "root", credential_life=4)
        site = await trusted(tiers, SITE, root)
        first = keys_of(site).expires
        assert first is not None
        number = 0
        while time.time() < first + 1:
            await works(root, SITE, f"number-{number}")
            number += 1
        later = keys_of(site).expires
        assert later is not None and later > first
        assert "Authentication Expired" not in (site.state / "nats.log").read_text()
        rotate = {"shim": "tier", "verb": "rotate"}
        before = keys_of(site).state.links["root"].credential
        assert (await root.submit(SITE, rotate, wait=30))["summary"] == {"succeeded": 1}
        await eventually(lambda: keys_of(site).state.links["root"].credential != before, what="it is renewed at once")
        await works(root, SITE, "rotated")


async def test_a_credential_that_has_ended_is_replaced_by_one_command(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        root = await trusted(tiers, "root", credential_life=2)
        site = await trusted(tiers, SITE, root)
        await site.link.cut()
        end = keys_of(site).expires
        assert end is not None
        late = await root.submit(SITE, config("late"))
        own = await site.submit(SITE, config("of-its-own"), wait=30)
        assert own["summary"] == {"succeeded": 1}
        await eventually(lambda: time.time() > end + 1, what="its credential has ended")
        await site.link.heal()
        await eventually(lambda: "uthorization" in (site.state / "nats.log").read_text(), what="it is not let in")
        assert (await root.clusters())[SITE]["state"] == "offline"
        answer = await _rejoin(site, await token(root, SITE))
        assert answer["path"] == SITE
        await root.done(late["id"])
        await root.tells("succeeded", SITE, [own["id"], late["id"]])


async def test_a_site_below_a_region_joins_while_the_root_is_away(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        root = await trusted(tiers, "root")
        east = await trusted(tiers, "root.east", root)
        await east.link.cut()
        await root.sees("root.east", "offline")
        state = await admit(east, tmp_path, "root.east.site")
        site = await tiers.grow("root.east.site", east, state=state, wait=False)
        await east.sees("root.east.site", "online")
        assert set(keys_of(site).state.trusted) == {"root", "root.east"}
        await works(east, "root.east.site", "meanwhile")
        await east.link.heal()
        await root.sees("root.east.site", "online")
        await works(root, "root.east.site", "after")

"""Tiers that know each other by credentials: what worked with a password works, and nothing crosses that should not."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from bus import subjects
from bus.client import Bus, Message, NoAnswer
from bus.credential import Credential
from bus.errors import Refused
from leafnodes.credentials.tier import Credentials
from services.cli.exits import Exit
from tests.integration.cli import Ote
from tests.integration.credentials_kit import trusted
from tests.integration.tiers import LocalTier, Tap, Tiers, config
from tests.support import eventually

SITE = "root.east.site1"
MANIFEST = "{apiVersion: v1, kind: ConfigMap, metadata: {name: hello, namespace: default}}"


async def test_a_tree_of_tiers_with_credentials_does_what_any_tree_does(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        root = await trusted(tiers, "root", shims=())
        east = await trusted(tiers, "root.east", root, shims=())
        site = await trusted(tiers, SITE, east, tags=["camera"])
        for origin in (root, east, site):
            answer = await origin.submit(SITE, config(f"of-{origin.path.replace('.', '-')}"), wait=30)
            assert answer["summary"] == {"succeeded": 1}, "exactly one"
        for select in ("under:root.east and tag:camera", "tag:camera", "root.east.>"):
            answer = await root.submit(select, config("many"), wait=30)
            assert answer["summary"] == {"succeeded": 1}, select
        asked = await root.ask("ask", {"to": "tag:camera", "do": {"verb": "list", "args": {"kind": "ConfigMap"}}})
        assert set(asked["answers"]) == {SITE}
        assert not asked["missing"]
        await site.link.cut()
        await root.sees(SITE, "offline")
        late = await root.submit(SITE, config("late"))
        await site.link.heal()
        await root.done(late["id"])
        await root.sees(SITE, "online")
        files = [file for file in (site.state / "credentials").rglob("*") if file.is_file()]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert stat.S_IMODE((site.state / "credentials").stat().st_mode) == 0o700


async def test_siblings_hear_nothing_of_each_other(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        root = await trusted(tiers, "root", shims=())
        one = await trusted(tiers, "root.one", root)
        two = await trusted(tiers, "root.two", root)
        tap = await Tap(two.bus).listen(
            "ote.cmd.root.>", "ote.evt.*.root.one", "ote.local.>", "ote.hb.>", "ote.inbox.>"
        )
        answer = await root.submit("root.one", config("secret"), wait=30)
        assert answer["summary"] == {"succeeded": 1}
        assert (await one.ask("commands"))["commands"]
        assert (await root.submit("root.two", config("seen"), wait=30))["summary"] == {"succeeded": 1}
        await eventually(lambda: tap.of("ote.cmd.root.two"), what="the tap hears what is for its own cluster")
        assert not [subject for subject, _ in tap.messages if "root.one" in subject]


async def test_a_user_asks_in_its_own_name_only(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        root = await trusted(tiers, "root")
        ote = Ote(tmp_path, root.info["nats"])
        refused = await ote("status")
        assert refused.code == Exit.REFUSED
        assert "--creds" in refused.err
        ann = (await ote("user", "ann", "--state", str(root.state), "-o", "json")).json()["creds"]
        sent = await ote("apply", "--creds", ann, "--on", "root", "-f", "-", "--wait", "-o", "json", stdin=MANIFEST)
        assert sent.code == Exit.OK, sent.err
        assert [row["actor"] for row in (await root.ask("commands"))["commands"]] == ["ann"]
        async with await Bus.connect(root.info["nats"], name="ann", credential=Credential.load(Path(ann))) as bus:
            body = {"to": "root", "do": config("forged"), "actor": "root@console"}
            with pytest.raises(Refused, match="in the name of another"):
                await bus.call(subjects.local_as("ann", "submit"), body, timeout=30)
            for subject in (subjects.local("submit"), subjects.local_as("bob", "submit"), subjects.command("root")):
                with pytest.raises(NoAnswer):
                    await bus.call(subject, body, timeout=0.3)
        assert len((await root.ask("commands"))["commands"]) == 1


async def test_a_shim_is_asked_and_asks_nothing(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        root = await trusted(tiers, "root", shims=("greet",))
        credentials = Credentials.load(root.state)
        assert credentials is not None
        file = Credential.load(credentials.shim("greet"))
        async with await Bus.connect(root.info["nats"], name="greet", credential=file) as bus:
            heard = Tap(bus)
            await heard.listen("ote.local.submit", "ote.cmd.>", "ote.local.shim.other", "ote.inbox.>")

            def greet(message: Message) -> None:
                message.respond(json.dumps({"ok": True, "result": "hello"}).encode())

            await bus.subscribe(subjects.shim("greet"), greet)
            await bus.flush()
            answer = await root.submit("root", {"shim": "greet", "verb": "greet"}, wait=30)
            assert answer["summary"] == {"succeeded": 1}
            with pytest.raises(NoAnswer):
                await bus.call(subjects.local("submit"), {"to": "root", "do": config("x")}, timeout=0.3)
        assert not heard.messages


async def test_a_site_with_credentials_is_taken_in_by_another_region_and_goes_back(tmp_path: Path) -> None:
    """The other region carries what is the site's, by the region's admission key, and nothing of the region's own."""
    quick: dict[str, Any] = {"failover": True, "fallback_after": 0.5}
    async with Tiers(tmp_path) as tiers:
        root = await trusted(tiers, "root", shims=(), **quick)
        east = await trusted(tiers, "root.east", root, shims=(), **quick)
        west = await trusted(tiers, "root.west", root, shims=(), **quick)
        site = await trusted(tiers, SITE, east, **quick)

        def may_go() -> bool:
            own, host = site.runtime.credentials, west.runtime.credentials
            assert own is not None and host is not None
            return {"root.west", "root"} <= own.state.links.keys() and "root.east" in host.state.carries

        await eventually(may_go, what="the site has credentials for others, and they know its region's key")
        await eventually(lambda: "root.west" in site.controller.kin.routes, what="the site knows where they are")
        await site.link.cut()
        assert (await root.submit(SITE, config("during"), wait=30))["summary"] == {"succeeded": 1}
        ways = site.controller.ways.supervisor
        assert ways is not None
        await eventually(lambda: ways.decider.at == "root.west", what="the site is attached to the other region")
        assert SITE in west.controller.ways.guests.present
        assert (await root.submit("under:root.east", config("by-scope"), wait=30))["summary"] == {"succeeded": 1}
        await site.link.heal()
        await eventually(lambda: ways.decider.at == "root.east" and ways.decider.settled, what="it is back")
        assert (await root.submit(SITE, config("after"), wait=30))["summary"] == {"succeeded": 1}


async def test_a_site_that_is_revoked_while_it_is_elsewhere_is_cut_off_there(tmp_path: Path) -> None:
    """The region that took it in hears of it by the root, which both reach, and asks at once."""
    quick: dict[str, Any] = {"failover": True, "fallback_after": 60}
    async with Tiers(tmp_path) as tiers:
        root = await trusted(tiers, "root", shims=(), **quick)
        east = await trusted(tiers, "root.east", root, shims=(), **quick)
        west = await trusted(tiers, "root.west", root, shims=(), **quick)
        other = await trusted(tiers, "root.west.other", west, **quick)
        site = await trusted(tiers, SITE, east, **quick)
        await eventually(
            lambda: "root.west" in site.controller.kin.routes, 10, what="the site may go to the other region"
        )
        move = {"shim": "tier", "verb": "move", "args": {"parent": "root.west"}}
        assert (await root.submit(SITE, move, wait=30))["summary"] == {"succeeded": 1}
        await eventually(lambda: SITE in west.controller.ways.guests.present, what="the site is there")
        assert (await root.submit(SITE, config("as-a-guest"), wait=30))["summary"] == {"succeeded": 1}
        links = await _links(west)
        assert SITE in links
        revoke = {"shim": "tier", "verb": "revoke", "args": {"path": SITE}}
        assert (await root.submit("path:root.east", revoke, wait=30))["summary"] == {"succeeded": 1}

        async def gone() -> bool:
            return SITE not in await _links(west)

        await eventually(gone, what="its link at the other region is cut")
        assert (await _links(west))[other.path] == links[other.path], "others keep theirs"
        await root.sees(SITE, "offline")
        assert (await root.submit(other.path, config("after"), wait=30))["summary"] == {"succeeded": 1}
        assert await gone(), "it does not come back"


async def test_a_site_whose_parent_is_down_is_revoked_where_it_is(tmp_path: Path) -> None:
    """Every tier above it is told; nobody waits for the parent, which hears of it when it is back."""
    quick: dict[str, Any] = {"failover": True, "fallback_after": 0.5}
    async with Tiers(tmp_path) as tiers:
        root = await trusted(tiers, "root", shims=(), **quick)
        east = await trusted(tiers, "root.east", root, shims=(), **quick)
        west = await trusted(tiers, "root.west", root, shims=(), **quick)
        site = await trusted(tiers, SITE, east, **quick)

        def may_go() -> bool:
            own, host = site.runtime.credentials, west.runtime.credentials
            assert own is not None and host is not None
            known = "root.west" in site.controller.kin.routes and "root.west" in own.state.links
            return known and "root.east" in host.state.carries

        await eventually(may_go, 20, what="the site may go to the other region")
        await east.stop()
        await eventually(lambda: SITE in west.controller.ways.guests.present, 30, what="the site is there")
        await root.sees("root.east", "offline")
        ote = Ote(tmp_path, root.info["nats"])
        ann = (await ote("user", "ann", "--state", str(root.state), "-o", "json")).json()["creds"]
        revoked = await ote("revoke", SITE, "--creds", ann, "-o", "json")
        assert revoked.code == Exit.STILL_OPEN, revoked.err
        told = revoked.json()
        states = {path: target["state"] for path, target in told["targets"].items()}
        assert states == {"root": "succeeded", "root.east": "accepted"}
        assert "offline, and told when it is back: root.east" in revoked.err

        async def gone() -> bool:
            return SITE not in await _links(west)

        await eventually(gone, what="its link at the other region is cut")
        await root.sees(SITE, "offline")
        await east.start()
        assert (await root.done(told["id"]))["summary"] == {"succeeded": 2}
        east_refuses = east.runtime.credentials
        assert east_refuses is not None and SITE not in east_refuses.state.children
        assert await gone() and SITE not in await _links(east), "it does not come back"


async def _links(tier: LocalTier) -> dict[str, int]:
    assert tier.runtime.server is not None
    return {link.path: link.id for link in await tier.runtime.server.leafz()}

"""What `ote doctor` says of the way up, on real parts: a parent that is dead, that hangs, whose tier is silent, or that
lets nobody in; and credentials and certificates near their end."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from leafnodes.credentials.tier import Credentials
from services.cli.doctor.credentials import credentials
from services.cli.doctor.finding import Severity
from tests.integration.cli import Ote
from tests.integration.credentials_kit import trusted
from tests.integration.tiers import Tier, Tiers, config
from tests.support import eventually

SITE = "root.site1"


async def says(ote: Ote, check: str, *words: str) -> dict[str, str]:
    """The one finding of this kind, or an empty one."""
    found = [f for f in (await ote("doctor", "-o", "json", *words)).json()["findings"] if f["check"] == check]
    assert len(found) < 2
    return found[0] if found else {"what": "", "remedy": "", "severity": ""}


async def told(ote: Ote, check: str, what: str, *words: str) -> dict[str, str]:
    """That finding, as soon as it says so."""

    async def it() -> dict[str, str] | None:
        found = await says(ote, check, *words)
        return found if what in found["what"] else None

    found = await eventually(it, what=what)
    assert found is not None
    return found


async def way(site: Tier, state: str) -> None:
    """Returns when the site says so of its way up: the doctor takes a second for each look."""

    async def it() -> bool:
        return bool((await site.ask("status"))["link"]["state"] == state)

    await eventually(it, what=f"the way up is {state}")


async def well(root: Tier, site: Tier, ote: Ote) -> None:
    """After it is back, nothing is said any more, and commands pass."""
    await root.sees(SITE, "online")
    assert (await root.submit(SITE, config("after"), wait=30))["summary"] == {"succeeded": 1}
    await way(site, "up")
    assert (await says(ote, "link"))["what"] == ""


async def test_a_parent_that_is_dead_or_hangs_or_whose_tier_is_silent(tiers: Tiers, tmp_path: Path) -> None:
    root = await tiers.spawn("root", shims=())
    site = await tiers.grow(SITE, root)
    ote = Ote(tmp_path, site.info["nats"])
    await site.link.cut()
    await way(site, "down")
    found = await told(ote, "link", "nobody listens at 127.0.0.1:")
    assert "the parent root does not answer root.site1 since " in found["what"]
    assert found["remedy"].startswith("start root (ote tier there)")
    await site.link.heal()
    await well(root, site, ote)
    assert root.process is not None
    pids = [root.process.pid, root.info["server_pid"]]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        await way(site, "down")
        found = await told(ote, "link", "takes connections and says nothing: it hangs")
        assert "firewall" in found["remedy"] and "nats-server" in found["remedy"]
        # Now only its tier is stopped.
        os.kill(pids[1], signal.SIGCONT)
        found = await told(ote, "link", "its tier is silent")
        assert "ote tier" in found["remedy"]
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    await well(root, site, ote)


async def test_a_parent_that_does_not_let_it_in(tiers: Tiers, tmp_path: Path) -> None:
    root = await tiers.grow("root", shims=(), child_login="child:right")
    site = await tiers.grow(SITE, root, wait=False, leaf=root.leaf.replace("right", "wrong"))
    await way(site, "down")
    ote = Ote(tmp_path, site.info["nats"])
    found = await told(ote, "link", "but there is no link")
    assert "login" in found["remedy"] and "nats.log" in found["remedy"]
    found = await told(ote, "credential", "the parent's server refuses the login", "--state", str(site.state))
    assert "the password in --parent" in found["remedy"]
    await site.runtime.server.attach(site.runtime.settings.parent.replace("wrong", "right"))  # type: ignore[union-attr]
    await well(root, site, ote)


async def test_a_credential_that_ends_soon_and_one_that_has_ended(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        root = await trusted(tiers, "root", shims=(), credential_life=3)
        site = await trusted(tiers, SITE, root)
        own = Credentials.load(site.state)
        assert own is not None and own.expires is not None
        assert list(credentials(site.state, own.expires - 2.5)) == []
        [soon] = credentials(site.state, own.expires - 0.1)
        assert soon.severity is Severity.WARNING and "and was not renewed" in soon.what
        assert "ote join-token --path root.site1" in soon.remedy
        await site.link.cut()
        ends = own.expires
        await eventually(lambda: time.time() > ends, what="its credential has ended")
        ote = Ote(tmp_path, None)
        found = await told(ote, "credential", "has expired at", "--state", str(site.state))
        assert found["severity"] == "error" and f"ote join TOKEN --state {site.state}" in found["remedy"]
        await site.link.heal()
        word = (await root.ask("join_token", {"path": SITE}))["token"]
        await site.ask("rejoin", {"token": word}, timeout=40)
        await root.sees(SITE, "online")

        async def is_well() -> bool:
            # Credentials that live 3 s may end once more, for a moment, on a busy machine.
            return (await says(ote, "credential", "--state", str(site.state)))["what"] == ""

        await eventually(is_well, what="it has credentials, and is let in")
        assert (await root.submit(SITE, config("again"), wait=30))["summary"] == {"succeeded": 1}


async def test_a_site_that_is_attached_elsewhere_says_so(tiers: Tiers, tmp_path: Path) -> None:
    given = {"failover": True, "child_login": "child:one", "fallback_after": 60, "shims": ()}
    root = await tiers.grow("root", **given)
    east = await tiers.grow("root.east", root, **given)
    await tiers.grow("root.west", root, **given)
    site = await tiers.grow("root.east.site1", east, **(given | {"shims": ("local",)}))
    await eventually(lambda: "root.west" in site.controller.kin.routes, what="the site knows where else it could be")
    ote = Ote(tmp_path, site.info["nats"])
    await site.link.cut()
    found = await told(ote, "link", "root.east.site1 goes on by way of root.west")
    assert "nobody listens" in found["what"]
    assert (await root.submit("root.east.site1", config("during"), wait=30))["summary"] == {"succeeded": 1}

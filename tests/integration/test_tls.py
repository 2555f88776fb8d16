"""TLS on real ports and links: who is believed, who is not, and certificates that change under traffic."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import timedelta
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

import pytest
from cryptography import x509

from bus.client import Bus
from bus.errors import Unavailable
from leafnodes.certificates import Certificates, to_words
from services.cli.doctor.machine import directory
from services.cli.exits import Exit
from services.tier import joining
from tests.integration.cli import Ote
from tests.integration.credentials_kit import token, trusted
from tests.integration.tiers import LocalTier, Tier, Tiers
from tests.support import eventually

SITE = "root.site"


@pytest.fixture
async def root(tiers: Tiers) -> LocalTier:
    return await tiers.grow("root", tls="on", shims=())


async def works(root: Tier, count: int = 1) -> None:
    for _ in range(count):
        done = await root.submit(SITE, "shop", wait=30)
        assert done["summary"] == {"succeeded": 1}


async def shown(url: str) -> int:
    """The serial number of the certificate that is shown at an address."""

    def look() -> int:
        parts = urlsplit(url)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection((parts.hostname, parts.port), timeout=30) as plain:
            # The server says who it is before it speaks TLS; byte by byte, so that nothing else is taken.
            while plain.recv(1) != b"\n":
                pass
            with context.wrap_socket(plain) as wrapped:
                return x509.load_der_x509_certificate(wrapped.getpeercert(True) or b"").serial_number

    return await asyncio.to_thread(look)


def certificates(tier: Tier) -> Certificates:
    return Certificates(tier.state.resolve() / "tls", tier.path)


async def test_a_tree_over_tls_does_what_any_tree_does(root: LocalTier, tiers: Tiers) -> None:
    assert root.leaf.startswith("tls://") and root.info["nats"].startswith("tls://")
    site = await tiers.grow(SITE, root)
    await works(root)
    for url in (root.leaf, root.info["nats"]):
        assert await shown(url) == certificates(root).server().serial_number
    assert urldefrag(root.leaf)[1] not in (root.state / "nats.conf").read_text()
    assert site.info["nats"].startswith("nats://")
    await site.link.cut()
    await root.sees(SITE, "offline")
    late = await root.submit(SITE, "late")
    await site.link.heal()
    assert (await root.done(late["id"]))["summary"] == {"succeeded": 1}


async def test_who_does_not_know_the_authority_sends_nothing(root: LocalTier, tiers: Tiers, tmp_path: Path) -> None:
    other = Certificates(tmp_path / "other", "other")
    other.settle()
    plain = urldefrag(root.info["nats"])[0]
    for url in (plain, root.info["nats"].replace(urldefrag(root.info["nats"])[1], _word(other))):
        with pytest.raises(Unavailable):
            await Bus.connect(url, name="stranger", patience=0.5)
    # A site with the address of another authority has no link, and says why; with the right one it comes.
    wrong = urldefrag(root.leaf)[0] + "#" + _word(other)
    site = await tiers.grow(SITE, root, wait=False, leaf=wrong)
    said = site.state / "nats.log"
    await eventually(lambda: "failed to verify certificate" in said.read_text())
    findings = [f for f in directory(site.state, False, log_is_elsewhere=False) if f.check == "tls"]
    assert findings and "authority" in findings[0].remedy
    assert SITE not in await root.clusters()
    await site.runtime.server.attach(root.leaf)  # type: ignore[union-attr]
    await root.sees(SITE, "online")
    await works(root)


def _word(certificates: Certificates) -> str:
    return to_words(certificates.authorities()[0])


async def test_a_child_of_a_parent_with_tls_takes_no_less(tiers: Tiers, tmp_path: Path) -> None:
    """Somebody in between who speaks no TLS is no parent."""
    root = await tiers.grow("root", shims=(), child_login="child:secret")
    other = Certificates(tmp_path / "other", "other")
    other.settle()
    url = root.leaf.replace("nats-leaf://", "tls://") + "#" + _word(other)
    site = await tiers.grow(SITE, root, wait=False, leaf=url)
    said = site.state / "nats.log"
    await eventually(lambda: "TLS" in said.read_text().upper())
    assert SITE not in await root.clusters()
    await site.runtime.server.attach(root.leaf)  # type: ignore[union-attr]
    await root.sees(SITE, "online")


async def test_a_client_is_not_talked_out_of_tls(root: LocalTier, tiers: Tiers) -> None:
    plain = await tiers.grow("root.plain", root)
    url = plain.info["nats"].replace("nats://", "tls://") + "#" + urldefrag(root.leaf)[1]
    with pytest.raises(Unavailable, match="no TLS"):
        await Bus.connect(url, name="client", patience=0.5)


async def test_certificates_change_under_traffic_and_nothing_is_lost(root: LocalTier, tiers: Tiers) -> None:
    site = await tiers.grow(SITE, root)
    before = root.info["nats"]
    traffic = asyncio.create_task(works(root, 30))
    ote = Ote(tiers.directory, before)
    serials = {await shown(root.leaf)}
    for words in ((), ("--authority",), ("--authority",)):
        answer = await ote("tls", "renew", "--state", str(root.state), *words, "-o", "json")
        assert answer.code == Exit.OK, answer.err
        new = certificates(root).server().serial_number
        assert new not in serials
        serials.add(new)

        async def served(new: int = new) -> bool:
            return await shown(root.leaf) == new and await shown(before) == new

        await eventually(served)
    await traffic
    listed = (await ote("tls", "show", "--state", str(root.state), "-o", "json")).json()["certificates"]
    assert [row["kind"] for row in listed] == ["server", *["authority"] * 3]
    assert listed[0]["days"] in range(88, 91)
    none = await ote("tls", "show", "--state", str(site.state / "none"))
    assert none.code != Exit.OK and "--tls on" in none.err
    # Who knows only the first authority still comes, by the server's chain.
    async with await Bus.connect(before, name="old friend", patience=5):
        pass
    await site.link.cut()
    await root.sees(SITE, "offline")
    await site.link.heal()
    await root.sees(SITE, "online")
    await works(root)


async def test_an_expired_certificate_is_refused_and_the_doctor_says_so(root: LocalTier, tiers: Tiers) -> None:
    site = await tiers.grow(SITE, root)
    own = certificates(root)
    own.renew(timedelta(seconds=-60))
    # It is renewed at once, by itself.
    await eventually(lambda: own.server().not_valid_after_utc > own.server().not_valid_before_utc + timedelta(days=1))
    await root.stop()
    own.renew(timedelta(seconds=-60))
    findings = [f for f in directory(root.state, False, log_is_elsewhere=False) if f.check == "tls"]
    assert findings and "expired" in findings[0].what and "ote tls renew" in findings[0].remedy
    await root.start()
    await root.sees(SITE, "online")
    await works(root)
    assert site.runtime.server is not None


async def test_a_token_brings_the_authority(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        root = await trusted(tiers, "root", shims=(), tls="on")
        given = await token(root, SITE)
        assert urldefrag(given.parent)[1]
        await joining.join(given, tmp_path / "site", lambda _: None)
        await tiers.grow(SITE, root, state=tmp_path / "site")
        await works(root)


async def test_children_that_must_show_a_certificate(tiers: Tiers, tmp_path: Path) -> None:
    known = tmp_path / "children.pem"
    theirs = Certificates(tmp_path / "site" / "tls", SITE)
    theirs.settle()
    other = Certificates(tmp_path / "other", "other")
    other.settle()
    known.write_text(other.authority_file.read_text())
    root = await tiers.grow("root", tls="on", shims=(), tls_children_ca=known)
    site = await tiers.grow(SITE, root, wait=False, state=tmp_path / "site")
    said = root.state / "nats.log"
    await eventually(lambda: "certificate" in said.read_text())
    assert SITE not in await root.clusters()
    known.write_text(other.authority_file.read_text() + theirs.authority_file.read_text())
    await root.sees(SITE, "online")
    await works(root)
    assert site.link is not None

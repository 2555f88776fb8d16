"""Attempts to break in, with a site's stolen credential and a protocol of one's own, on real servers: each is refused
by the server or not believed, is seen, and does not disturb others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgpack
import pytest

from bus import subjects, wire
from bus.client import Bus
from bus.credential import Credential
from bus.errors import Refused
from bus.event import Addressee, Draft, Event, new_id
from bus.types import REFUSED_CLUSTER, SUBMITTED, SUCCEEDED
from leafnodes.credentials.tier import Credentials
from leafnodes.monitor import LeafLink
from tests.integration.credentials_kit import trusted
from tests.integration.intruder import Intruder
from tests.integration.tiers import LocalTier, Tap, Tiers, config
from tests.support import eventually

EAST, STOLEN, VICTIM = "root.east", "root.east.stolen", "root.east.victim"


@dataclass
class Place:
    """A region with two sites; the credential of one was stolen."""

    root: LocalTier
    east: LocalTier
    stolen: LocalTier
    victim: LocalTier

    @property
    def creds(self) -> Path:
        own = Credentials.load(self.stolen.state)
        assert own is not None
        file = own.link_file(EAST)
        assert file is not None
        return file

    def refusals(self) -> str:
        """What the region's server has logged."""
        return (self.east.state / "nats.log").read_text()

    async def works(self, name: str) -> None:
        """The others are not disturbed."""
        assert (await self.root.submit(VICTIM, config(name), wait=30))["summary"] == {"succeeded": 1}
        await self.root.sees(VICTIM, "online")


@asynccontextmanager
async def break_in(place: Place, name: str) -> AsyncIterator[Intruder]:
    port = urlsplit(place.east.leaf).port
    assert port is not None
    async with await Intruder.enter(port, place.creds, name) as made:
        assert not made.closed.is_set(), made.errors
        yield made


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with Tiers(tmp_path) as tiers:
        root = await trusted(tiers, "root", shims=())
        east = await trusted(tiers, EAST, root, shims=())
        yield Place(root, east, await trusted(tiers, STOLEN, east), await trusted(tiers, VICTIM, east))


def forged(source: str, **data: object) -> bytes:
    """A frame with an event that this cluster never said."""
    draft = Draft(SUCCEEDED, subjects.event(SUCCEEDED, source), {"command": new_id(), **data})
    return wire.pack([draft.seal(source, "00000009.00000000000000aa", 1).body])


def forbidden() -> dict[str, bytes]:
    """What this site may not say, by subject."""
    mail = Draft(SUBMITTED, subjects.command(VICTIM), {}, to=(Addressee(VICTIM, 1, ""),)).seal("root", "x", 1)
    return {
        subjects.event(SUCCEEDED, VICTIM): forged(VICTIM),
        subjects.event(SUCCEEDED, EAST): forged(EAST),
        subjects.command(VICTIM): wire.pack([mail.body]),
        subjects.command("root"): b"x",
        subjects.under(EAST): wire.pack([mail.body]),
        subjects.tagged("camera", "root"): b"x",
        subjects.ask(VICTIM): b"",
        subjects.heartbeat(VICTIM): msgpack.packb({"path": VICTIM}),
        subjects.pulse(EAST): msgpack.packb({"path": EAST, "up": False}),
        subjects.sync(1, VICTIM): b"x",
        subjects.wake(VICTIM): b"",
        subjects.join(VICTIM): b"{}",
        subjects.guest(EAST, VICTIM): b"x",
        subjects.local("submit"): b"{}",
        subjects.local_as("admin", "submit"): b"{}",
        subjects.shim("local", "execute"): b"{}",
        f"{subjects.inbox(VICTIM)}.x.1": b"x",
        "$SRV.PING": b"",
        "$SYS.REQ.SERVER.PING": b"",
    }


async def test_nothing_can_be_said_for_others(place: Place) -> None:
    await place.stolen.stop()
    said = forbidden()
    own = subjects.event(SUCCEEDED, STOLEN)
    east, victim = Tap(place.east.bus), Tap(place.victim.bus)
    await east.listen(own, *said)
    await victim.listen(*said)
    before = len(east.messages)
    # Each by a link of its own: one word that it may not say, and the server ends the link.
    for subject, payload in said.items():
        async with break_in(place, "intruder") as intruder:
            intruder.say(subject, payload)
            async with asyncio.timeout(30):
                await intruder.closed.wait()
            assert f'Publish to "{subject}"' in str(intruder.errors)
    async with break_in(place, "intruder") as intruder:
        intruder.say(own, b"the last")
        await intruder.settled()
        await eventually(lambda: _came(east, intruder, own), what="what it may say comes through")
    sent = {(subject, payload) for subject, payload in said.items()}
    assert not sent & set(east.messages[before:]), "nothing that it may not say"
    assert not sent & set(victim.messages)
    seen = place.refusals()
    assert all(subject in seen for subject in said), [subject for subject in said if subject not in seen]
    await place.works("after")


async def test_an_honest_server_never_says_what_would_end_its_link(place: Place) -> None:
    """It was told at its login what it may say, and keeps to it whatever its own clients say."""
    links, seen = {link.path: link.id for link in await _links(place.east)}, place.refusals()
    for _ in range(20):
        for subject, payload in forbidden().items():
            place.stolen.bus.send(subject, payload)
    await place.stolen.bus.flush()
    await place.works("beside-a-noisy-sibling")
    assert (await place.root.submit(STOLEN, config("for-it"), wait=30))["summary"] == {"succeeded": 1}
    assert {link.path: link.id for link in await _links(place.east)} == links, "no link was made anew"
    assert "Violation" not in place.refusals().removeprefix(seen)


def _came(tap: Tap, intruder: Intruder, subject: str) -> bool:
    assert (subject, b"the last") in tap.messages, (intruder.closed.is_set(), intruder.errors[-3:], len(tap.messages))
    return True


async def test_nothing_of_others_can_be_heard(place: Place) -> None:
    await place.stolen.stop()
    mine = subjects.command(STOLEN)
    wide = [">", "ote.>", "ote.cmd.>", "ote.local.>", "ote.inbox.>", "ote.evt.>", "$SRV.>", "$SYS.>"]
    wide += [f"{subjects.inbox(path)}.>" for path in ("root", EAST, VICTIM)]
    for forbidden in (subjects.command(VICTIM), subjects.local("submit"), subjects.join(VICTIM)):
        async with break_in(place, "intruder") as intruder:
            intruder.listen(forbidden)
            async with asyncio.timeout(30):
                await intruder.closed.wait()  # the server throws him out
            assert forbidden in str(intruder.errors) and forbidden in place.refusals()
    async with break_in(place, "intruder") as intruder:
        # A server may listen to more than is its own to hear: what comes is pruned, message by message.
        intruder.listen(mine, *wide)
        await intruder.settled()
        assert not intruder.closed.is_set(), intruder.errors
        await place.works("secret")
        await place.east.ask("clusters")
        await place.root.submit(STOLEN, config("for-it"))
        await eventually(lambda: mine in [subject for subject, _ in intruder.heard], what="it hears what is for it")
        heard = {subject for subject, _ in intruder.heard}
        assert not [subject for subject in heard if VICTIM in subject or ".local." in subject or "$S" in subject]
        assert not [subject for subject, payload in intruder.heard if b"secret" in payload], "nor what was in it"
        inboxes = [subject for subject in heard if subject.startswith("ote.inbox.")]
        assert all(subject.startswith(subjects.inbox(STOLEN)) for subject in inboxes)


async def test_a_flood_a_huge_message_and_a_name_that_is_taken_disturb_nobody(place: Place) -> None:
    await place.stolen.stop()
    async with break_in(place, "intruder") as intruder:
        for _ in range(20_000):
            intruder.say(subjects.event(SUCCEEDED, STOLEN), b"\xc1" * 200)
            intruder.say(subjects.heartbeat(STOLEN), b"\xc1")
        await place.works("while-it-floods")
        # Much that is small on the wire, as a compressed link would have it: refused like any other.
        for _ in range(20):
            intruder.say(subjects.event(SUCCEEDED, STOLEN), bytes(1_000_000))
        await intruder.settled()
        await place.works("after-zeros")
    async with break_in(place, "intruder") as intruder:
        intruder.begin(subjects.event(SUCCEEDED, STOLEN), 100 * 2**20, b"x" * 100_000)
        async with asyncio.timeout(30):
            await intruder.closed.wait()
    assert "Maximum Payload" in place.refusals() or "maximum payload" in place.refusals()
    links = {link.path: link.id for link in await _links(place.east)}
    async with break_in(place, VICTIM):
        await place.works("beside-a-namesake")
    assert {link.path: link.id for link in await _links(place.east)}[VICTIM] == links[VICTIM], "its link stayed"


async def test_a_copy_of_a_living_cluster_is_refused_and_recorded(place: Place) -> None:
    """Whoever has all of a site's files is that site, but only one at a time."""
    async with Tiers(place.stolen.state.parent / "elsewhere") as tiers:
        copy = tiers.directory / "copy"
        copy.parent.mkdir()
        own = place.stolen.state / "credentials"
        (copy / "credentials").mkdir(parents=True)
        for name in ("keys.json", "state.json"):
            (copy / "credentials" / name).write_bytes((own / name).read_bytes())
        await tiers.grow(STOLEN, place.east, state=copy, wait=False)

        async def told() -> bool:
            events = await place.east.log(type=REFUSED_CLUSTER)
            return STOLEN in [event["data"]["path"] for event in events]

        await eventually(told, what="the region has refused one of the two")
        await place.works("beside-a-copy")


async def test_an_old_command_with_its_id_copied_and_a_credential_at_another_door(place: Place) -> None:
    answer = await place.root.submit(STOLEN, config("old"), wait=30)
    old = await place.stolen.runtime.log.read(lambda reader: reader.events(types=(SUBMITTED,), limit=10))
    body = next(each.event for each in old if each.event.data["command"] == answer["id"])
    changed = Event.decode(body.body.replace(STOLEN.encode(), VICTIM.encode()))
    assert changed.id == body.id
    await place.stolen.stop()
    before = await place.victim.ask("commands")
    async with break_in(place, "intruder") as intruder:
        for subject in (subjects.command(VICTIM), subjects.event(SUBMITTED, STOLEN)):
            intruder.say(subject, wire.pack([changed.body]))
        await intruder.settled()
        await place.works("after-the-replay")
    done = [row["id"] for row in (await place.victim.ask("commands"))["commands"]]
    assert answer["id"] not in done and len(done) == len(before["commands"]) + 1
    with pytest.raises(Refused):
        await Bus.connect(place.east.info["nats"], name="thief", credential=Credential.load(place.creds))


async def _links(tier: LocalTier) -> list[LeafLink]:
    assert tier.runtime.server is not None
    return await tier.runtime.server.leafz()

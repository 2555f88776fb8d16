"""A site with a good credential that says as much as it can on the subjects that are its own: nobody else is disturbed,
it is told of, cut off for a while, and afterwards all is as before."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bus import subjects, wire
from bus.types import FLOODED, SUCCEEDED
from leafnodes.credentials.tier import Credentials
from services.controller import floods
from tests.integration.credentials_kit import admit, trusted
from tests.integration.intruder import Intruder
from tests.integration.tiers import Answer, Tier, Tiers, config
from tests.support import eventually

FLOODER, VICTIM = "root.flooder", "root.victim"
#: So that a test sees the whole of it.
CUT_FOR = 2.0


async def test_a_flood_disturbs_nobody_is_told_and_is_cut_off_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floods, "CUT_FOR", CUT_FOR)
    # A busy machine does not say as much as a flood would: the limit is this low, and the looks as often.
    monkeypatch.setattr(floods, "MOST", 200)
    monkeypatch.setattr(floods, "LOOK", 0.2)
    async with Tiers(tmp_path) as tiers:
        root = await trusted(tiers, "root", shims=())
        await trusted(tiers, VICTIM, root)
        state = await admit(root, tmp_path, FLOODER)
        own = Credentials.load(state)
        assert own is not None
        creds, port = own.link_file("root"), urlsplit(root.leaf).port
        assert creds is not None and port is not None
        spoken = [
            (subjects.event(SUCCEEDED, FLOODER), wire.pack([b"nonsense"])),
            (subjects.heartbeat(FLOODER), b"x"),
            (subjects.sync(0, FLOODER), b"x"),
            (subjects.event(SUCCEEDED, f"{FLOODER}.made-up"), b"x"),
        ]
        number = 0
        async with await Intruder.enter(port, creds, "flooder") as intruder:
            while not intruder.closed.is_set():
                for _ in range(100):
                    for subject, payload in spoken:
                        intruder.say(subject, payload)
                if number < 5:
                    number += 1
                    assert (await root.submit(VICTIM, config(f"c{number}"), wait=10))["summary"] == {"succeeded": 1}
                await asyncio.sleep(0.02)
        assert number >= 1, "commands to others went on"
        said = await eventually(lambda: _told(root, 2), what="the flood is told, and that it is cut off")
        assert [event["data"]["path"] for event in said] == [FLOODER, FLOODER], "each once, and of nobody else"
        assert [event["data"].get("cut_for") for event in said] == [None, CUT_FOR]
        assert root.controller.floods.shed > 0
        # It is refused as long as it is cut off, and comes in by itself when that is over.
        flooder = await tiers.grow(FLOODER, root, state=state)
        assert (await root.submit(f"{FLOODER} or {VICTIM}", config("after"), wait=20))["summary"] == {"succeeded": 2}
        await root.sees(FLOODER, "online")
        assert flooder.controller.asker.links[0].state == "up"


async def _told(root: Tier, count: int) -> list[Answer]:
    events = await root.log(type=FLOODED)
    return events if len(events) >= count else []

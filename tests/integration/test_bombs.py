"""What is small on the wire and large in memory, or nested without end, on every subject that a child may speak on: it
is refused, memory stays bounded, and others go on."""

from __future__ import annotations

import asyncio
import struct
from itertools import chain, repeat
from pathlib import Path
from urllib.parse import urlsplit

from bus import subjects, wire
from bus.types import SUCCEEDED
from leafnodes.credentials.tier import Credentials
from tests.integration.compressed import plain, zeros
from tests.integration.credentials_kit import admit, found, trusted
from tests.integration.intruder import Intruder
from tests.integration.tiers import Tier, Tiers, config

STOLEN, VICTIM = "root.stolen", "root.victim"
#: Items of a message that is just below what a server lets through.
MANY = 900_000
#: Bytes by which a tier, or its server, may have grown at its highest.
BOUND = 250_000_000

HUGE = struct.pack(">I", 2**32 - 1)
COUNT = struct.pack(">I", MANY)
BOMBS = {
    "arrays in arrays": b"\x91" * MANY,
    "maps in maps": b"\x81\xa1x" * (MANY // 3),
    "an array that says to be huge": b"\xdd" + HUGE,
    "a map that says to be huge": b"\xdf" + HUGE,
    "text that says to be huge": b"\xdb" + HUGE + b"x",
    "bytes that say to be huge": b"\xc6" + HUGE + b"x",
    "an extension that says to be huge": b"\xc9" + HUGE + b"\x01x",
    "empty maps": b"\xdd" + COUNT + b"\x80" * MANY,
    "empty arrays": b"\xdd" + COUNT + b"\x90" * MANY,
    "a map with one key": b"\xdf" + COUNT + b"\x00\x80" * (MANY // 2),
    "JSON in JSON": b"[" * MANY,
    "objects in objects": b'{"said":' * (MANY // 8),
    "a number without end": b"9" * MANY,
    "zeros": bytes(MANY),
}


def highest(pid: int) -> int:
    """The most memory that a process has ever held (bytes)."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


async def works(root: Tier, name: str) -> None:
    assert (await root.submit(VICTIM, config(name), wait=30))["summary"] == {"succeeded": 1}
    await root.sees(VICTIM, "online")


async def test_bombs_on_every_subject_of_a_child(tmp_path: Path) -> None:
    async with Tiers(tmp_path) as tiers:
        root = await tiers.spawn("root", shims=(), state=found(tmp_path))
        await trusted(tiers, VICTIM, root)
        own = Credentials.load(await admit(root, tmp_path, STOLEN))
        assert own is not None
        creds, port = own.link_file("root"), urlsplit(root.leaf).port
        assert creds is not None and port is not None
        await works(root, "before")
        pids = [root.info["pid"], root.info["server_pid"]]
        before = [highest(pid) for pid in pids]
        spoken = [
            subjects.event(SUCCEEDED, STOLEN),
            subjects.heartbeat(STOLEN),
            subjects.sync(0, STOLEN),
            subjects.join(STOLEN),
            subjects.guest("root", STOLEN),
        ]
        async with await Intruder.enter(port, creds, "intruder") as intruder:
            for name, bomb in BOMBS.items():
                for subject in spoken:
                    intruder.say(subject, bomb)
                intruder.say(spoken[0], wire.pack([bomb[:MANY]]))
                async with asyncio.timeout(30):
                    await intruder.settled()
                assert not intruder.closed.is_set(), (name, intruder.errors)
            await works(root, "among-bombs")
            # Many of the kind that grows most, one behind the other.
            for _ in range(30):
                intruder.say(spoken[1], BOMBS["empty maps"])
            await works(root, "behind-bombs")
        grown = [highest(pid) - was for pid, was in zip(pids, before, strict=True)]
        assert all(each < BOUND for each in grown), grown
        assert "Traceback" not in root.output
        assert len(root.output) < 100_000, "and what was logged of it is little"
        await works(root, "after")


#: Zeros in a frame, frames behind a header, and what a frame may say to hold that the server is not to believe.
FRAME, FRAMES, LIE = 65_536, 2_000, 2**31
HEADERS = {
    "a message that is too large": f"LMSG {subjects.event(SUCCEEDED, STOLEN)} {FRAME * FRAMES}\r\n",
    "a message that goes on behind its end": f"LMSG {subjects.event(SUCCEEDED, STOLEN)} 900000\r\n",
    "no message": "",
}


async def test_frames_of_a_compressed_link_that_swell(tmp_path: Path) -> None:
    """The server decompresses as it parses, one block at a time: it ends the link at the first word that is none."""
    async with Tiers(tmp_path) as tiers:
        root = await tiers.spawn("root", shims=(), state=found(tmp_path))
        await trusted(tiers, VICTIM, root)
        own = Credentials.load(await admit(root, tmp_path, STOLEN))
        assert own is not None
        creds, port = own.link_file("root"), urlsplit(root.leaf).port
        assert creds is not None and port is not None
        await works(root, "before")
        pids = [root.info["pid"], root.info["server_pid"]]
        before = [highest(pid) for pid in pids]
        frame = zeros(FRAME)
        assert len(frame) * 20 < FRAME
        for name, header in HEADERS.items():
            assert await Intruder.swell(port, creds, chain([plain(header.encode())], repeat(frame, FRAMES))), name
        assert await Intruder.swell(port, creds, [zeros(FRAME, says=LIE)]), "a block that says to be huge"
        grown = [highest(pid) - was for pid, was in zip(pids, before, strict=True)]
        assert all(each < BOUND // 10 for each in grown), grown
        await works(root, "after")

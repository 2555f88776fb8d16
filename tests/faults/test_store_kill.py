"""A process that writes to a log is killed at any moment: what it acknowledged stays."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bus.event import Event
from store.sql import open_log
from store.verify import verify

ROOT = Path(__file__).parents[2]


def killed_writer(place: str, name: str, seconds: float) -> list[str]:
    """The ids that a writer acknowledged before it was killed, `seconds` after its first."""
    command = [sys.executable, "-m", "tests.integration.store_writer", place, name, "1000000", "16"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("open")
        first = process.stdout.readline()
        killer = threading.Timer(seconds, process.kill)
        killer.start()
        told = [first, *process.stdout]
        killer.join()
    # A last line without its end was not told.
    return [line.split()[0] for line in told if line.endswith("\n")]


@pytest.mark.parametrize("rounds", [3, pytest.param(40, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
async def test_what_was_acknowledged_survives_kill_9(place: str, rounds: int) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    chance = random.Random(seed)
    acknowledged: list[str] = []
    for number in range(rounds):
        acknowledged += killed_writer(place, f"life{number}", chance.uniform(0.0, 0.3))
        assert verify(place, Event.decode) == []
    async with open_log(place, source="root", decode=Event.decode) as log:
        events = [stored.event for stored in await log.read(lambda r: r.events(limit=1_000_000))]
        held = await log.read(lambda r: r.streams("root"))
    assert set(acknowledged) <= {event.id for event in events}
    assert len(set(acknowledged)) == len(acknowledged)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert list(held.values()) == [len(events)]

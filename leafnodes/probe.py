"""Is there a server at this address? A leaf port says who it is (INFO) as soon as somebody connects.

What is away in one way or another looks different: a dead server refuses, or the connection ends before a word
is said; a hung one, or a black hole, takes the connection and says nothing, or does not even take it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from enum import Enum

SLOW = 0.3
"""A server that takes longer to say its first word is slow (seconds)."""
PATIENCE = 1.0


class Health(Enum):
    """What a probe found."""

    GOOD = "good"
    SLOW = "slow"
    HUNG = "hung"
    DEAD = "dead"
    UNKNOWN = "unknown"

    @property
    def answers(self) -> bool:
        """Whether a server is there."""
        return self in (Health.GOOD, Health.SLOW)


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found at `at` (monotonic), and how long the first word took (seconds), if it came."""

    health: Health
    at: float
    took: float | None = None


NEVER = Probe(Health.UNKNOWN, float("-inf"))


async def probe(address: str, patience: float = PATIENCE) -> Probe:
    """Looks at a leaf port, `host:port`. Nothing is logged in there, and nothing is left."""
    host, _, port = address.rpartition(":")
    begin = time.monotonic()
    try:
        async with asyncio.timeout(patience):
            said = await _first_word(host.strip("[]"), int(port))
    except TimeoutError:
        health = Health.HUNG
    except (OSError, ValueError):
        health = Health.DEAD
    else:
        took = time.monotonic() - begin
        if said:
            return Probe(Health.SLOW if took > SLOW else Health.GOOD, time.monotonic(), took)
        health = Health.DEAD
    return Probe(health, time.monotonic())


async def _first_word(host: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        return (await reader.readline()).startswith(b"INFO ")
    finally:
        writer.transport.abort()

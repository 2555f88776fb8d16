"""What was found a moment ago at the places where a tier could attach."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from leafnodes.probe import NEVER, PATIENCE, Health, Probe, probe
from services.tier.places import Route

#: How long probes may hold up a decision, and how old what they found may be (seconds).
GLANCE, FRESH = 0.1, 2.0
#: A place that answered so long ago is not looked at again by who is in need of one: of hundreds that lose their parent
#: together, each would look at each other tier over and over (seconds).
TRUSTED = 1.0


class Probes:
    """Looks at many places at once; who does not answer soon is left to answer later, and `answers` is told of it."""

    def __init__(self, answers: Callable[[str], None]) -> None:
        self._answers = answers
        self._found: dict[str, Probe] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def begin(self, routes: Iterable[Route], age: float) -> None:
        """Looks at those of which nothing is known that is younger than `age` (seconds), TRUSTED where it answered."""
        now = time.monotonic()
        for route in routes:
            place = route.place
            found = self._found.get(place, NEVER)
            if place not in self._under_way and found.at < now - (max(age, TRUSTED) if found.health.answers else age):
                task = asyncio.create_task(self._look(place, route.address), name=f"probe {place}")
                self._under_way[place] = task

    async def settle(self, routes: Iterable[Route]) -> None:
        """Waits for those of these places that are looked at, but not for long."""
        waiting = [self._under_way[route.place] for route in routes if route.place in self._under_way]
        if waiting:
            await asyncio.wait(waiting, timeout=GLANCE)

    def forget(self, place: str) -> None:
        """What was found there before says nothing any more."""
        self._found.pop(place, None)

    def health(self) -> dict[str, Health]:
        """What is known, by place."""
        fresh = time.monotonic() - FRESH
        return {place: found.health for place, found in self._found.items() if found.at > fresh}

    async def close(self) -> None:
        """Ends what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, place: str, address: str) -> None:
        before = self._found.get(place, NEVER)
        try:
            found = self._found[place] = await probe(address, PATIENCE)
        finally:
            del self._under_way[place]
        if found.health.answers and not before.health.answers:
            self._answers(place)

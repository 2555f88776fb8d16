"""What a tier in need knows of the places where it could go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from leafnodes.probe import Health
from services.controller.links.probes import Probes
from services.tier.places import Route
from tests.support import eventually


class Place:
    """A leaf port that says who it is as soon as it may."""

    def __init__(self) -> None:
        self.looks = 0
        self.may_speak = asyncio.Event()

    async def start(self) -> Route:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1")
        port = self._server.sockets[0].getsockname()[1]
        return Route("root.b", "root.b", f"127.0.0.1:{port}", "parent's sibling")

    async def _accept(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.looks += 1
        await self.may_speak.wait()
        writer.write(b"INFO {}\r\n")
        writer.close()

    async def stop(self) -> None:
        self._server.close()


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    made = Place()
    yield made
    made.may_speak.set()
    await made.stop()


async def test_who_answers_late_is_told_of_and_is_not_looked_at_again_at_once(place: Place) -> None:
    told: list[str] = []
    probes, route = Probes(told.append), await place.start()
    probes.begin([route], 0.0)
    await probes.settle([route])
    assert not told and not probes.health()
    place.may_speak.set()
    await eventually(lambda: told == ["root.b"], what="it is told")
    assert probes.health()["root.b"].answers
    for _ in range(5):
        probes.begin([route], 0.0)
        await probes.settle([route])
    assert place.looks == 1
    await probes.close()


async def test_who_is_dead_is_looked_at_again_and_told_when_it_is_there(place: Place) -> None:
    told: list[str] = []
    probes, route = Probes(told.append), await place.start()
    await place.stop()
    probes.begin([route], 0.0)
    await eventually(lambda: probes.health() == {"root.b": Health.DEAD}, what="it is found dead")
    assert not told
    place._server = await asyncio.start_server(place._accept, "127.0.0.1", int(route.address.rpartition(":")[2]))
    place.may_speak.set()

    def there() -> bool:
        probes.begin([route], 0.0)
        return told == ["root.b"]

    await eventually(there, what="it is found again")
    await probes.close()

"""A shim whose answers a test gives: it keeps what it is asked until the test lets it go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

from bus import subjects, wire
from bus.client import Bus, Message
from tests.support import eventually

DONE: Mapping[str, Any] = {"ok": True}


class Gate:
    """The shim of this kind at the server `url`; as a context manager it comes and goes. `asked` is what it
    was asked to execute, in order, and stays when it goes."""

    def __init__(self, url: str, kind: str = "gate", *, open: bool = False) -> None:
        self.kind = kind
        self.asked: list[dict[str, Any]] = []
        self._url = url
        self._open = open
        self._held: dict[str, Message] = {}
        self._bus: Bus | None = None

    async def __aenter__(self) -> Self:
        self._bus = await Bus.connect(self._url, name=f"shim {self.kind}")
        await self._bus.subscribe(subjects.shim(self.kind, "execute"), self._execute)
        await self._bus.flush()
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._bus is not None
        await self._bus.close()

    def _execute(self, message: Message) -> None:
        request = json.loads(message.data)
        self.asked.append(request)
        if self._open:
            message.respond(wire.dump_body(DONE), wire.JSON_HEADERS)
        else:
            self._held[request["id"]] = message

    @property
    def ids(self) -> list[str]:
        """The commands that it was asked to execute, in order."""
        return [request["id"] for request in self.asked]

    @property
    def held(self) -> set[str]:
        """The commands that wait for the test."""
        return set(self._held)

    async def holds(self, *ids: str) -> None:
        """Returns when exactly these wait."""
        await eventually(lambda: self.held == set(ids), what=f"the shim holds {len(ids)} commands")

    def let(self, id: str, answer: Mapping[str, Any] = DONE) -> None:
        """Answers one."""
        self._held.pop(id).respond(wire.dump_body(answer), wire.JSON_HEADERS)

    def forget(self) -> None:
        """Nobody waits for these answers any more."""
        self._held.clear()

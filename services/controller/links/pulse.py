"""The pulse of a tier: a short message, several times in a heartbeat, to all that are attached to it.

Silence is how a child notices that its parent hangs, long before NATS does. One message serves any number of
children, and nobody has to answer it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import msgpack
from pydantic import BaseModel, ConfigDict, ValidationError

from bus import subjects
from bus.client import Message, Subscription
from bus.errors import Unavailable
from services.tier.runtime import Runtime

#: So many in the time of a heartbeat; who misses more than this many begins to ask.
OFTEN, MISSED = 2, 3


def interval(heartbeat: float) -> float:
    """The time between two of them (seconds)."""
    return heartbeat / OFTEN


class Beat(BaseModel):
    """What a pulse says: whether the tier reaches somebody above it, and whether it sends its children away."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    path: str
    up: bool = True
    drained: bool = False


class Pulse:
    """Sends the pulse of this tier, and hears that of the tier to which it is attached."""

    def __init__(self, runtime: Runtime, is_up: Callable[[], bool], is_drained: Callable[[], bool]) -> None:
        self._runtime = runtime
        self._is_up = is_up
        self._is_drained = is_drained
        self._held: Subscription | None = None
        self._host = ""
        #: When the host was heard last (monotonic), and since when it says that it reaches nobody itself.
        self.heard = float("-inf")
        self.cut_off_since: float | None = None
        self.host_drained = False

    @property
    def silence(self) -> float:
        """How long a host may be silent before it is asked (seconds)."""
        return MISSED * interval(self._runtime.settings.heartbeat)

    async def run(self) -> None:
        """Sends for ever."""
        subject = subjects.pulse(self._runtime.path)
        while True:
            beat = Beat(path=self._runtime.path, up=self._is_up(), drained=self._is_drained())
            with suppress(Unavailable):
                self._runtime.bus.send(subject, msgpack.packb(beat.model_dump()))
            await asyncio.sleep(interval(self._runtime.settings.heartbeat))

    async def listen(self, host: str) -> None:
        """Hears this tier from now on, and no other."""
        if host == self._host:
            return
        before, self._host = self._held, host
        self.heard, self.cut_off_since, self.host_drained = float("-inf"), None, False
        self._held = await self._runtime.bus.subscribe(subjects.pulse(host), self._on_pulse)
        if before is not None:
            await before.end()

    def _on_pulse(self, message: Message) -> None:
        try:
            beat = Beat.model_validate(msgpack.unpackb(message.data))
        except (ValueError, ValidationError, msgpack.UnpackException):
            return
        if beat.path != self._host:
            return
        self.heard, self.host_drained = time.monotonic(), beat.drained
        self.cut_off_since = None if beat.up else self.cut_off_since or self.heard

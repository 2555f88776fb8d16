"""The guest's side of the door: whether the tier to which this one is attached for a while lets it stay."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import msgpack
import structlog
from pydantic import ValidationError

from bus import subjects
from bus.errors import OteError, Unavailable
from services.controller.links.guests import Knock, Welcome
from services.controller.links.pulse import Pulse
from services.tier.runtime import Runtime

logger = structlog.get_logger()

#: A guest leaves a host that says for so long that it reaches nobody itself (seconds).
CUT_OFF = 5.0


class Visit:
    """Knocks at the host with each heartbeat, and tells `refused` if that sends it away. `knock` holds this tier's own
    last word on where it is, `asked` the host that has been asked last since then."""

    def __init__(self, runtime: Runtime, pulse: Pulse, refused: Callable[[], None]) -> None:
        self._runtime = runtime
        self._pulse = pulse
        self._refused = refused
        self._knocked = float("-inf")
        self._admitted = True
        self.knock = Knock(path=runtime.path, instance=runtime.instance)
        self.asked: str | None = None

    def begin(self) -> None:
        """At another host: it has not been asked yet."""
        self._knocked, self._admitted = float("-inf"), True

    def said(self, epoch: str, seq: int) -> None:
        """The place of this tier's own word on where it is."""
        self.knock = self.knock.model_copy(update={"epoch": epoch, "seq": seq})
        self.asked = None

    async def is_welcome(self, host: str, *, settled: bool) -> bool:
        """Whether the host lets this tier stay, as far as it says, and reaches others itself."""
        cut_off = self._pulse.cut_off_since
        if cut_off is not None and time.monotonic() - cut_off > CUT_OFF:
            return False
        if time.monotonic() - self._knocked >= self._runtime.settings.heartbeat:
            self._knocked = time.monotonic()
            if not await self.ask(host) and not settled:
                self._knocked = float("-inf")
        return self._admitted

    async def ask(self, host: str) -> bool:
        """Whether it has answered. A host that says nothing is judged by its pulse."""
        self.asked = host
        try:
            knock = msgpack.packb(self.knock.model_dump())
            message = await self._runtime.bus.request(subjects.guest(host, self._runtime.path), knock, timeout=1.0)
            answer = Welcome.model_validate(msgpack.unpackb(message.data))
        except (OteError, ValueError, ValidationError, msgpack.UnpackException):
            return False
        if not answer.admitted:
            logger.warning("not let in", host=host, reason=answer.reason)
            self._refused()
        self._admitted = answer.admitted
        return True

    async def goodbye(self, host: str) -> None:
        """Tells the host, as far as it hears it."""
        left = self.knock.model_copy(update={"leaving": True})
        with suppress(Unavailable):
            self._runtime.bus.send(subjects.guest(host, self._runtime.path), msgpack.packb(left.model_dump()))
            await self._runtime.bus.flush()

"""All of a tier's ways: to whom it is attached, who is attached to it, and what it passes on between them."""

from __future__ import annotations

import asyncio

from bus import subjects
from services.controller.asker import Asker
from services.controller.links.guests import Guests
from services.controller.links.kin import Kin
from services.controller.links.pulse import Pulse
from services.controller.links.relay import Relay
from services.controller.links.supervisor import Supervisor
from services.controller.registry import Registry
from services.tier.runtime import Runtime


class Ways:
    """Ties them together. `supervisor` is None where there is no parent, or the server is the care of others."""

    def __init__(self, runtime: Runtime, registry: Registry, asker: Asker, kin: Kin) -> None:
        self._runtime = runtime
        self._registry = registry
        self._asker = asker
        self._kin = kin
        self.guests = Guests(runtime, kin)
        self.relay = Relay(runtime, registry)
        self.pulse = Pulse(
            runtime,
            is_up=lambda: not asker.links or any(link.state == "up" for link in asker.links),
            is_drained=lambda: kin.drained,
        )
        self.supervisor: Supervisor | None = None
        settings = runtime.settings
        if runtime.server is not None and settings.parent is not None and asker.links and settings.failover:
            self.supervisor = Supervisor(runtime, runtime.server, asker, kin, self.pulse)

    @property
    def carried(self) -> list[str]:
        """The siblings whose links this tier passes on, as the parent says."""
        relay = self._runtime.relay
        return self._asker.carried if relay is not None and relay.carried else []

    def look(self) -> None:
        """What is known of those below has changed: who passes the links of siblings on is dialled by them in the place
        of this tier."""
        if self._runtime.server is not None:
            relays = self._registry.snapshot.relays.get(self._runtime.path, ())
            self._runtime.server.carried_by(one.leaf.rpartition(":")[0].strip("[]") for one in relays)

    async def start(self) -> None:
        """Takes up where the log stands, and listens."""
        await self._kin.start()
        await self.guests.start()
        if self._asker.links:
            await self._runtime.bus.subscribe(subjects.wake(self._runtime.path), lambda _: self._asker.wake())
        if self.supervisor is not None:
            await self.supervisor.start()

    async def run(self) -> None:
        """Works for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.pulse.run(), name="pulse")
            group.create_task(self.guests.run(), name="guests")
            if self.supervisor is not None:
                group.create_task(self.supervisor.run(), name="supervisor")

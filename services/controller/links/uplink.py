"""The link of a tier to those above: by which route, since when, and whether it is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from bus.errors import Unavailable
from bus.event import now
from leafnodes.monitor import LeafLink
from leafnodes.server import NatsServer
from services.tier.places import Route


@dataclass(slots=True)
class Uplink:
    """The link as the tier's own server has it, or None, and how often there was a new one. `route` is the way that it
    takes, or is about to take since it `moved` (monotonic). `news`: the server has told of a link."""

    server: NatsServer
    route: Route
    link: LeafLink | None = None
    since: str = ""
    reconnects: int = -1
    moved: float = float("-inf")
    looked: float = float("-inf")
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def path(self) -> str | None:
        """The tier at its other end."""
        return self.link.path if self.link is not None else None

    @property
    def via(self) -> str | None:
        """The sibling that passes it on, if one does."""
        return self.route.place if self.link is not None and self.route.relation == "sibling" else None

    async def look(self, age: float = 0.0) -> None:
        """Asks the server, unless that is younger than `age` (seconds)."""
        if time.monotonic() - self.looked < age:
            return
        try:
            links = await self.server.leafz()
        except Unavailable:
            links = []
        self.looked = time.monotonic()
        self.see(next((link for link in links if link.to_parent), None))

    def see(self, link: LeafLink | None) -> None:
        """What the server has now."""
        if (link.id if link else None) != (self.link.id if self.link else None):
            self.since = now()
            self.reconnects += link is not None
        self.link = link

    def place(self, routes: Mapping[str, Route]) -> str | None:
        """The place by which it leads up. Several lead to one host: what was dialled tells them apart."""
        if self.link is None:
            return None
        ends = {self.route.place: self.route, **routes}
        leading = [each for each in ends.values() if each.host == self.link.path]
        dialled = [each for each in leading if each.address.endswith(f":{self.link.port}")] or leading
        if not dialled or self.route in dialled:
            return self.route.place if dialled else self.link.path
        return dialled[0].place

"""A tier's links as people ask for them: `ote.local.links`."""

from __future__ import annotations

import asyncio
from typing import Any

from bus import paths
from bus.errors import Unavailable
from bus.link_messages import LinksRequest
from leafnodes.monitor import LeafLink
from leafnodes.probe import probe
from services.controller.links.kin import Kin
from services.controller.links.ways import Ways
from services.controller.membership import Membership
from services.tier.runtime import Runtime

#: How long a probe may take that somebody waits for (seconds).
PATIENCE = 0.5


class Report:
    """Gathers what the parts know, and looks at every place anew."""

    def __init__(self, runtime: Runtime, kin: Kin, ways: Ways, membership: Membership) -> None:
        self._runtime = runtime
        self._kin = kin
        self._ways = ways
        self._relayed = membership.relayed

    async def links(self, request: LinksRequest) -> dict[str, Any]:
        """The shape of `LinksAnswer`."""
        links = await self._links()
        above = next((link for link in links if link.to_parent), None)
        mover = self._ways.supervisor
        guests = self._ways.guests
        return {
            "path": self._runtime.path,
            "parent": paths.parent(self._runtime.path),
            "attached_to": above.path if above else None,
            "via": mover.uplink.via if mover and above else None,
            "why": mover.decider.why or None if mover else None,
            "moves": mover.decider.moves if mover else 0,
            "failover": mover is not None,
            "drained": self._kin.drained,
            "up": self._up(above) if above else None,
            "places": await self._places(),
            "below": [
                {**_wire(link), "via": self._relayed.get(link.path)}
                for link in sorted(links, key=lambda link: link.path)
                if not link.to_parent
            ],
            "guests": [
                {"path": path, "state": guest.state, "since": guest.since}
                for path, guest in sorted(guests.present.items())
            ],
            "most_guests": self._runtime.settings.guests,
            "relay": self._relay(),
        }

    def _relay(self) -> dict[str, Any] | None:
        relay = self._runtime.relay
        if relay is None:
            return None
        return {
            "address": self._runtime.relay_address,
            "open": relay.is_open(),
            "links": relay.carried,
            "most": relay.most,
            "siblings": self._ways.carried,
            "up_bytes": relay.traffic.up,
            "down_bytes": relay.traffic.down,
            "refused": relay.traffic.refused,
        }

    async def _links(self) -> list[LeafLink]:
        if self._runtime.server is None:
            return []
        try:
            return await self._runtime.server.leafz()
        except Unavailable:
            return []

    def _up(self, link: LeafLink) -> dict[str, Any]:
        mover = self._ways.supervisor
        if mover is None:
            return _wire(link)
        return {**_wire(link), "since": mover.uplink.since or None, "reconnects": max(0, mover.uplink.reconnects)}

    async def _places(self) -> list[dict[str, Any]]:
        routes = list(self._kin.routes.values())
        found = await asyncio.gather(*(probe(route.address, PATIENCE) for route in routes))
        return [
            {
                "path": route.place,
                "address": route.address,
                "relation": route.relation,
                "health": was.health.value,
                "took": was.took,
            }
            for route, was in zip(routes, found, strict=True)
        ]


def _wire(link: LeafLink) -> dict[str, Any]:
    return {
        "path": link.path,
        "rtt": link.rtt or None,
        "in_messages": link.in_msgs,
        "out_messages": link.out_msgs,
        "in_bytes": link.in_bytes,
        "out_bytes": link.out_bytes,
    }

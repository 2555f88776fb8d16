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
from services.tier.runtime import Runtime

#: How long a probe may take that somebody waits for (seconds).
PATIENCE = 0.5


class Report:
    """Gathers what the parts know, and looks at every place anew."""

    def __init__(self, runtime: Runtime, kin: Kin, ways: Ways) -> None:
        self._runtime = runtime
        self._kin = kin
        self._ways = ways

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
            "why": mover.decider.why or None if mover else None,
            "moves": mover.decider.moves if mover else 0,
            "failover": mover is not None,
            "drained": self._kin.drained,
            "up": self._up(above) if above else None,
            "places": await self._places(),
            "below": [_wire(link) for link in sorted(links, key=lambda link: link.path) if not link.to_parent],
            "guests": [
                {"path": path, "state": guest.state, "since": guest.since}
                for path, guest in sorted(guests.present.items())
            ],
            "most_guests": self._runtime.settings.guests,
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
        grandparent = self._kin.family.grandparent
        places = [(one, "grandparent" if one == grandparent else "parent's sibling") for one in self._kin.alternates]
        if self._kin.family.parent is not None:
            places.insert(0, (self._kin.family.parent, "parent"))
        addresses = [self._ways.address(one) for one, _ in places]
        found = await asyncio.gather(*(probe(address, PATIENCE) for address in addresses))
        return [
            {"path": one.path, "address": address, "relation": relation, "health": was.health.value, "took": was.took}
            for (one, relation), address, was in zip(places, addresses, found, strict=True)
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

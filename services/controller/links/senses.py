"""What a tier knows of its way up: the facts on which the decider decides.

They are the link as the tier's own server has it, the pulse of the tier at its other end and the answers of those
above through it, and what a probe of the addresses finds. Nothing is asked as long as the pulse is heard.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from services.controller.asker import Asker
from services.controller.links.decider import Decider, Facts
from services.controller.links.kin import Kin
from services.controller.links.probes import FRESH, GLANCE, Probes
from services.controller.links.pulse import Pulse, interval
from services.controller.links.uplink import Uplink
from services.controller.links.visit import Visit
from services.tier.places import Route
from services.tier.runtime import Runtime

#: The link is looked at so often although all is well (seconds).
LOOK = 5.0
#: So many alternates are looked at first; the others only where none of these answers.
FEW = 2


class Senses:
    """Gathers the facts."""

    def __init__(
        self,
        runtime: Runtime,
        asker: Asker,
        kin: Kin,
        pulse: Pulse,
        uplink: Uplink,
        visit: Visit,
        decider: Decider,
        answers: Callable[[str], None],
    ) -> None:
        self._heartbeat = runtime.settings.heartbeat
        self._asker = asker
        self._kin = kin
        self._pulse = pulse
        self._uplink = uplink
        self._visit = visit
        self._decider = decider
        self._own = next(iter(kin.routes))
        self.probes = Probes(answers)

    async def facts(self) -> Facts:
        """What is known now."""
        decider, routes = self._decider, self._kin.routes
        await self._uplink.look(LOOK if decider.settled else 0.0)
        linked = self._uplink.place(routes)
        answered = linked == decider.at and await self._answered(routes)
        parent = self._parent_state()
        is_home = answered and decider.at == decider.home and parent != "drained"
        facts = self._told(routes, linked, answered, parent)
        if is_home or (not answered and decider.is_under_way(facts.now)):
            return facts
        for wanted in self._in_turn(routes, answered, parent):
            await self._probe(wanted)
            facts = self._told(routes, linked, answered, parent)
            if not decider.finds_none(facts):
                break
        return facts

    def _in_turn(self, routes: Mapping[str, Route], answered: bool, parent: str | None) -> Iterator[list[Route]]:
        """The places that are looked at, those behind only where there is nowhere to go before. Who is well where it is
        looks whether it could go home. Each look through a sibling is one at the parent: only who finds no other way
        takes it."""
        here = [each for each in routes.values() if each.place in (self._decider.home, self._decider.at)]
        if answered and parent != "drained":
            yield here
            return
        near = self._near(routes)
        yield [*here, *[each for each in near if each not in here][:FEW]]
        yield near
        if not answered:
            yield list(routes.values())

    def _near(self, routes: Mapping[str, Route]) -> list[Route]:
        """The routes that lead through nobody, and the one that it takes."""
        return [each for each in routes.values() if each.relation != "sibling" or each.place == self._decider.at]

    def _told(self, routes: Mapping[str, Route], linked: str | None, answered: bool, parent: str | None) -> Facts:
        return Facts(
            now=time.monotonic(),
            linked=linked,
            answered=answered,
            alternates=[place for place in routes if place != self._decider.home],
            health=self.probes.health(),
            parent=parent,
            relays=frozenset(each.place for each in routes.values() if each.relation == "sibling"),
        )

    def _parent_state(self) -> str | None:
        """How the tier where it belongs is in the eyes of others: they tell of its own parent only."""
        home = self._decider.home
        if self._pulse.host_drained and self._uplink.route.host == home:
            return "drained"
        return self._asker.parent_state if home == self._own else None

    async def _probe(self, routes: Iterable[Route]) -> None:
        wanted = list(routes)
        self._begin(wanted)
        await self.probes.settle(wanted)

    def _begin(self, routes: Iterable[Route]) -> None:
        self.probes.begin(routes, FRESH / 2 if self._decider.settled else GLANCE / 2)

    async def _answered(self, routes: Mapping[str, Route]) -> bool:
        """Whether somebody above was heard since the last move, and not long ago."""
        host = self._uplink.route.host
        if host != self._own and not await self._visit.is_welcome(host, settled=self._decider.settled):
            return False
        if self.heard():
            return True
        # What was found before it fell silent says nothing of it.
        self.probes.forget(self._decider.at)
        self._begin(self._near(routes))
        before = self._uplink.link.in_bytes if self._uplink.link is not None else 0
        if await self._asker.reaches(max(0.1, interval(self._heartbeat))):
            return True
        # What is on its way in fills the link: then it is slow, not hung.
        await self._uplink.look()
        return self._uplink.link is not None and self._uplink.link.in_bytes > before > 0

    def heard(self) -> bool:
        """Whether that was so without asking anybody."""
        heard = self._asker.heard
        if self._decider.settled or self._uplink.route.host == self._own:
            heard = max(heard, self._pulse.heard)
        return heard > max(self._uplink.moved, time.monotonic() - self._pulse.silence)

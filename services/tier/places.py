"""Where this cluster may attach, where it was last, and where it was told to belong, as its own log says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from bus import paths
from bus.event import Event
from bus.sync import Family, Relative
from bus.types import ALTERNATES, ATTACHED, PREFERRED
from leafnodes.config import address_of, at_address
from services.tier.settings import TierSettings
from store.api import Reader

Relation = Literal["parent", "parent's sibling", "grandparent", "sibling"]


class Route(NamedTuple):
    """A way up: who dials `address` (host:port), where the tier `place` listens, is attached to `host`. These two
    differ where a sibling passes bytes on to the parent. `word` is by which authority it is known, "" if by the same
    as the parent, or by none."""

    place: str
    host: str
    address: str
    relation: Relation
    word: str = ""


def routes(settings: TierSettings, family: Family) -> dict[str, Route]:
    """The ways up by their places, in the order in which they are tried: its parent, the parent's siblings, the
    grandparent, its own siblings. Each cluster has an order of its own among siblings. Empty at a root."""
    own = paths.parent(settings.path)
    if own is None or settings.parent is None:
        return {}
    reach = settings.reach_of

    def route(one: Relative, relation: Relation) -> Route:
        host = own if relation == "sibling" else one.path
        address, _, word = one.leaf.partition("#")
        return Route(one.path, host, reach.get(one.path, address), relation, word)

    found = [Route(own, own, address_of(settings.parent), "parent")]
    found += [route(uncle, "parent's sibling") for uncle in _shuffled(settings.path, family.uncles)]
    found += [route(family.grandparent, "grandparent")] if family.grandparent else []
    found += [route(sibling, "sibling") for sibling in _shuffled(settings.path, family.relays)]
    return {each.place: each for each in found}


class Dial(NamedTuple):
    """What the server is told of a route, as `NatsServer.attach` takes it."""

    url: str
    level: int | None = None
    at: str | None = None


def dialled(settings: TierSettings, route: Route) -> Dial:
    """The login is that of its own parent's url."""
    assert settings.parent is not None, settings.path
    if route.relation == "parent":
        return Dial(settings.parent)
    url = at_address(settings.parent, f"{route.address}#{route.word}" if route.word else route.address)
    if route.relation == "sibling":
        return Dial(url)
    return Dial(url, paths.depth(paths.Path(route.host)) + 1, route.host)


class Whereabouts(NamedTuple):
    """Its own last word on where it is; `via` is the sibling that passes its link on. (`epoch`, `seq`): its place."""

    attached_to: str
    via: str | None
    why: str
    epoch: str
    seq: int

    @property
    def place(self) -> str:
        """The place of its route."""
        return self.via or self.attached_to


def whereabouts(reader: Reader[Event]) -> Whereabouts | None:
    """Where this cluster was, if it was ever elsewhere than at its parent."""
    found = _last_event(reader, ATTACHED)
    if found is None or not isinstance(host := found.data.get("attached_to"), str):
        return None
    via = found.data.get("via")
    why = str(found.data.get("why") or "")
    return Whereabouts(host, via if isinstance(via, str) else None, why, found.epoch, found.seq or 0)


def begin(settings: TierSettings, reader: Reader[Event], may_enter: Callable[[str], bool]) -> Route | None:
    """The route by which this tier begins: where it was, if this tier may still be let in there. None at a root."""
    ways = routes(settings, family(reader))
    before = whereabouts(reader) if settings.failover else None
    if before is not None and before.place in ways and may_enter(ways[before.place].host):
        return ways[before.place]
    return next(iter(ways.values()), None)


def family(reader: Reader[Event]) -> Family:
    """What this cluster was told last of the tiers near it."""
    try:
        return Family.model_validate(_last(reader, ALTERNATES).get("family"))
    except ValidationError:
        return Family()


def known(reader: Reader[Event]) -> list[str]:
    """The tiers to which this cluster could attach, its own parent first."""
    near = family(reader)
    own = paths.parent(reader.source)
    others = [*near.uncles, *([near.grandparent] if near.grandparent else [])]
    return [own, *(one.path for one in others)] if own is not None else []


def preferred(reader: Reader[Event]) -> str | None:
    """The tier to which it was told to belong; None: its parent."""
    said = _last(reader, PREFERRED).get("parent")
    return said if isinstance(said, str) else None


def _shuffled(me: str, relatives: Iterable[Relative]) -> list[Relative]:
    return sorted(relatives, key=lambda one: blake2b(f"{me} {one.path}".encode(), digest_size=8).digest())


def _last(reader: Reader[Event], kind: str) -> dict[str, Any]:
    found = _last_event(reader, kind)
    return dict(found.data) if found else {}


def _last_event(reader: Reader[Event], kind: str) -> Event | None:
    found = reader.events(types=(kind,), source=reader.source, latest=True, limit=1)
    return found[-1].event if found else None

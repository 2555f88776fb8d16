"""What this tier hears from above: mail by its own path and its subtree's, and the tags that its subtree
carries; live queries by its own path, scopes and tags. NATS carries a message only where somebody is
interested: these sets are the routing table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set

from bus import paths, subjects, tags
from bus.client import Bus, Message, Subscription


def fixed(me: str) -> set[str]:
    """Mail by path and by subtree, and by any tag within the subtree."""
    return {
        subjects.command(me),
        *subjects.commands_below(me),
        *subjects.scopes_of(me),
        *subjects.unders_below(me),
        *subjects.tags_below(me),
    }


def tagged(me: str, carried: Iterable[Mapping[str, str]]) -> set[str]:
    """Mail by the tags that clusters at or below carry, at each scope in which they are."""
    texts = {text for labels in carried for text in tags.to_texts(labels)}
    return {subject for text in texts for subject in subjects.tags_of(text, me)}


def mail(me: str, carried: Iterable[Mapping[str, str]]) -> set[str]:
    """All mail. A root hears none: nobody is above it."""
    return fixed(me) | tagged(me, carried) if paths.depth(me) else set()


def queries(me: str, labels: Mapping[str, str]) -> set[str]:
    """Live queries to a cluster with these tags. Those to others NATS carries past it."""
    return {*subjects.asks_to(me), *(s for text in tags.to_texts(labels) for s in subjects.tag_asks_to(text, me))}


class Interest:
    """Keeps the subscriptions equal to what is wanted."""

    def __init__(self, bus: Bus, handler: Callable[[Message], None]) -> None:
        self._bus = bus
        self._handler = handler
        self._held: dict[str, Subscription] = {}

    async def update(self, wanted: Set[str]) -> None:
        """Subscribes to what is new, and gives up what nobody needs any more."""
        for subject in wanted - self._held.keys():
            self._held[subject] = await self._bus.subscribe(subject, self._handler)
        for subject in self._held.keys() - wanted:
            await self._held.pop(subject).end()

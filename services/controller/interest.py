"""What this tier hears of the mail from above: its own path and its subtree's, and the tags that its
subtree carries. NATS carries a message only where somebody is interested: this set is the routing table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

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


class Interest:
    """Keeps the subscriptions equal to what is wanted. A root hears no mail: nobody is above it."""

    def __init__(self, bus: Bus, me: str, handler: Callable[[Message], None]) -> None:
        self._bus = bus
        self._me = me
        self._handler = handler
        self._held: dict[str, Subscription] = {}

    async def update(self, carried: Iterable[Mapping[str, str]]) -> None:
        """Subscribes to what is new, and gives up what nobody needs any more."""
        if paths.depth(self._me) == 0:
            return
        wanted = fixed(self._me) | tagged(self._me, carried)
        for subject in wanted - self._held.keys():
            self._held[subject] = await self._bus.subscribe(subject, self._handler)
        for subject in self._held.keys() - wanted:
            await self._held.pop(subject).end()

"""Mail whose turn has come at this cluster: what the controller hands to the host of the shims."""

from __future__ import annotations

from dataclasses import dataclass

from bus.event import Event
from store.api import Cursor


@dataclass(frozen=True, slots=True)
class Mail:
    """One number of the mailbox of one origin. `cover` is the later event that stands for it, if there
    is one: then the number is not carried out. `event` is None when only the cover has come."""

    cursor: Cursor
    event: Event | None
    cover: Event | None

    @property
    def origin(self) -> str:
        """The path of who sent it."""
        known = self.event or self.cover
        assert known is not None
        return known.source


#: The first lives of all logs have this count in their epochs.
_FIRST_LIFE = f"{1:08x}."


def is_first(life: str) -> bool:
    """Whether nothing is known of a life of this log before this one."""
    return life.startswith(_FIRST_LIFE)


def is_for_another_life(event: Event, me: str, life: str) -> bool:
    """Whether this mail was sent to another life of the log of `me` than this one, which may have carried it out. Who
    did not know the life that he sent it to may have meant any."""
    meant = next((to.epoch for to in event.to if to.path == me), "")
    return meant != life and not (meant == "" and is_first(life))


def may_repeat(event: Event, me: str, life: str) -> bool:
    """Whether this command may have come to `me` before: a later life of an origin submits again what had no final in
    the earlier ones, and a later life of a target gets again what an earlier one had. In first lives every command
    is new."""
    return not is_first(event.epoch) or (not is_first(life) and is_for_another_life(event, me, life))

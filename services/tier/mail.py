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


def may_repeat(event: Event) -> bool:
    """A later life of an origin submits again what had no final in the earlier ones; in a first life every
    command is new."""
    return not event.epoch.startswith(_FIRST_LIFE)

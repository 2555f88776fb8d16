"""Counting without holes: how far a stream or a mailbox is held when its members come in any order."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol

Above = Callable[[int], list[int]]
"""The next members above a number, in order; empty if there are none."""


class Position(Protocol):
    """`held` is dense from 1, `top` the highest known."""

    held: int
    top: int


class Holes:
    """Remembers, for each position with a hole, all members above the hole: what fills it costs a query
    only when that is not known, after a start."""

    def __init__(self) -> None:
        self._above: dict[Hashable, set[int]] = {}

    def is_open(self, key: Hashable, position: Position, number: int) -> bool:
        """Whether no member is known to have this number; False if that is not known."""
        if number > position.top:
            return True
        known = self._above.get(key)
        return known is not None and number > position.held and number not in known

    def reach(self, key: Hashable, position: Position, number: int, above: Above) -> None:
        """Moves a position for a new member, which `above` does not yet see."""
        if number == position.held + 1 and number >= position.top:
            position.held = position.top = number
            return
        members = self._members(key, position, above)
        position.top = max(position.top, number)
        members.add(number)
        while position.held + 1 in members:
            position.held += 1
            members.remove(position.held)
        if not members:
            del self._above[key]

    def _members(self, key: Hashable, position: Position, above: Above) -> set[int]:
        known = self._above.get(key)
        if known is None:
            known = self._above[key] = set()
            last = position.held
            while last < position.top and (page := above(last)):
                known.update(page)
                last = page[-1]
        return known

    def advance(self, key: Hashable, position: Position, number: int, above: Above) -> None:
        """Moves a position to a number up to which nothing is missing any more, and on over what is there."""
        self._above.pop(key, None)
        position.held = max(position.held, number)
        while page := above(position.held):
            for member in page:
                if member != position.held + 1:
                    break
                position.held = member
            else:
                continue
            break
        position.top = max(position.top, position.held)

    def drop(self) -> None:
        """Forgets everything."""
        self._above.clear()

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
    """Remembers, for each position with a hole, the shore: the lowest member above the hole. So
    members which fill it one by one cost no query until the last."""

    def __init__(self) -> None:
        self._shores: dict[Hashable, int | None] = {}

    def is_open(self, key: Hashable, position: Position, number: int) -> bool:
        """Whether no member is known to have this number; False if that is not known."""
        if number > position.top:
            return True
        shore = self._shores.get(key)
        return shore is not None and position.held < number < shore

    def reach(self, key: Hashable, position: Position, number: int, above: Above) -> None:
        """Moves a position for a new member, which `above` does not yet see."""
        if number == position.held + 1 and number >= position.top:
            position.held = position.top = number
            self._shores.pop(key, None)
            return
        shore = self._shore(key, position, above)
        position.top = max(position.top, number)
        if number > position.held + 1:
            shore = number if shore is None else min(shore, number)
        elif number == position.held + 1:
            position.held = number
            while shore == position.held + 1:
                shore = _cross(position, above(position.held))
        self._shores[key] = shore

    def _shore(self, key: Hashable, position: Position, above: Above) -> int | None:
        if position.held == position.top:
            return None
        if key in self._shores:
            return self._shores[key]
        return next(iter(above(position.held)), None)

    def drop(self) -> None:
        """Forgets everything."""
        self._shores.clear()


def _cross(position: Position, members: list[int]) -> int | None:
    """Moves over the members that follow without a hole, and returns the first that does not."""
    for member in members:
        if member != position.held + 1:
            return member
        position.held = member
    # All that was fetched is passed; what comes next, if anything, is seen by asking again.
    return position.held + 1 if members and position.held < position.top else None

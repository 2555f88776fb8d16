"""Turns: a little work is begun at once, and who asks for much waits longer than who asks for little.

What cannot begin yet waits in a queue of its asker, and the askers take turns: one that sends a storm of requests is
served as fast as before, and a single request of somebody else goes before the rest of the storm.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import ContextVar

Begin = Callable[["Turn"], None]


class Turn:
    """The right to work, until it is given back; to do so again changes nothing."""

    def __init__(self, turns: Turns) -> None:
        self._turns: Turns | None = turns

    def over(self) -> None:
        """Somebody else may begin."""
        turns, self._turns = self._turns, None
        if turns is not None:
            turns.next()


#: The turn of the task that runs.
_CURRENT: ContextVar[Turn | None] = ContextVar("turn", default=None)


class Turns:
    """At most so many at once."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: dict[str, deque[Begin]] = {}

    def take(self, asker: str, begin: Begin) -> None:
        """Calls `begin` with the turn, now or when it is this asker's."""
        if self._free > 0:
            self._free -= 1
            begin(Turn(self))
        else:
            self._waiting.setdefault(asker, deque()).append(begin)

    def next(self) -> None:
        """A turn is over."""
        if not self._waiting:
            self._free += 1
            return
        asker, queue = next(iter(self._waiting.items()))
        # Who has more goes behind all others.
        del self._waiting[asker]
        begin = queue.popleft()
        if queue:
            self._waiting[asker] = queue
        begin(Turn(self))

    def open(self) -> None:
        """All that waits begins."""
        waiting, self._waiting = self._waiting, {}
        for queue in waiting.values():
            for begin in queue:
                self._free -= 1
                begin(Turn(self))


def enter(turn: Turn | None) -> None:
    """The task that runs has this turn, or none."""
    _CURRENT.set(turn)


def rest() -> None:
    """The task that runs only waits from now on: its turn is over. Nothing happens to one that has none."""
    if (turn := _CURRENT.get()) is not None:
        turn.over()


def asker_of(reply: str) -> str:
    """Who asks, by where the answer is to go: one connection keeps the begin of its inbox (`_INBOX.ab12.7`)."""
    begin, dot, _ = reply.rpartition(".")
    return begin if dot and "." in begin else reply

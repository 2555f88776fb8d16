"""The order of work at one target, without I/O (DESIGN 6.3).

Commands on different objects may overlap, those on the same object or in the same lane never, and a
command whose objects are unknown runs alone. Work is added in the order of `received`, and becomes due
when all earlier work that it conflicts with is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Work(Generic[T]):
    """One piece of work. `keys` is what it touches, None if unknown. Work that is `ordered` takes effect
    in the order in which it is started (the writer of the log is such an order), so that of two pieces
    of ordered work the second may start as soon as the first has been started. `weight` is the bytes that it holds."""

    id: str
    what: T
    keys: frozenset[Hashable] | None
    ordered: bool = False
    weight: int = 0
    started: bool = False
    dropped: bool = False
    _blocked: int = 0
    _waiters: list[Work[T]] = field(default_factory=list)


class WorkQueue(Generic[T]):
    """Work that is not done yet; `weight` is that of all of it."""

    def __init__(self) -> None:
        self.weight = 0
        self._active: dict[str, Work[T]] = {}
        self._tails: dict[Hashable, Work[T]] = {}
        self._alone: Work[T] | None = None

    def __len__(self) -> int:
        return len(self._active)

    def __contains__(self, id: str) -> bool:
        return id in self._active

    def find(self, id: str) -> Work[T] | None:
        """The work with this id that is not done."""
        return self._active.get(id)

    def waiting(self) -> list[Work[T]]:
        """Work that is neither started nor dropped, in order."""
        return [work for work in self._active.values() if not (work.started or work.dropped)]

    def add(self, work: Work[T]) -> list[Work[T]]:
        """Appends work; returns it as due if nothing stands before it."""
        for before in self._before(work):
            if not (work.ordered and before.ordered and before.started):
                before._waiters.append(work)
                work._blocked += 1
        self._active[work.id] = work
        self.weight += work.weight
        if work.keys is None:
            self._alone = work
            self._tails.clear()
        else:
            self._tails.update((key, work) for key in work.keys)
        return self._start([work])

    def done(self, id: str) -> list[Work[T]]:
        """Removes work that was started; returns what is due now."""
        return self._start(self._leave(self._active[id]))

    def drop(self, id: str) -> bool:
        """Gives up work that has not started; False if it has, is unknown, or was given up before. It keeps
        its place until its turn, so that what waits behind it still waits for what is before it."""
        work = self._active.get(id)
        if work is None or work.started or work.dropped:
            return False
        work.dropped = True
        return True

    def _before(self, work: Work[T]) -> Iterable[Work[T]]:
        if work.keys is None:
            return list(self._active.values())
        before = {id(tail): tail for key in work.keys if (tail := self._tails.get(key)) is not None}
        # Work with known objects that came after the one that runs alone waits for it through its tail.
        if self._alone is not None:
            before[id(self._alone)] = self._alone
        return before.values()

    def _start(self, candidates: Iterable[Work[T]]) -> list[Work[T]]:
        due: list[Work[T]] = []
        queue = deque(candidates)
        while queue:
            work = queue.popleft()
            if work._blocked or work.started:
                continue
            work.started = True
            if work.dropped:
                queue.extend(self._leave(work))
            else:
                due.append(work)
                queue.extend(_pass_on(work))
        return due

    def _leave(self, work: Work[T]) -> list[Work[T]]:
        del self._active[work.id]
        self.weight -= work.weight
        for key in work.keys or ():
            if self._tails.get(key) is work:
                del self._tails[key]
        if self._alone is work:
            self._alone = None
        return _unblock(work, work._waiters)


def _pass_on(work: Work[T]) -> list[Work[T]]:
    """Ordered work that waited for ordered work may go as soon as that has been started."""
    return _unblock(work, [waiter for waiter in work._waiters if waiter.ordered]) if work.ordered else []


def _unblock(work: Work[T], waiters: list[Work[T]]) -> list[Work[T]]:
    going = set(map(id, waiters))
    work._waiters = [waiter for waiter in work._waiters if id(waiter) not in going]
    for waiter in waiters:
        waiter._blocked -= 1
    return waiters

"""The one writer of a log in this process: what waits is committed in groups.

While a group is committed the next one gathers, so a commit (an fsync) is shared by all who wait, and
nobody waits for a timer. Only lazy jobs wait: for a job that is not lazy, or for a short while.

When the database refuses to write, the jobs that are to be kept stay in front, in their order, and the first of
them is tried alone now and then: while it is refused, so is everybody else.

A small group is committed at once, on the event loop, where that takes no longer than the two hops to a
thread and back would: on a quick disk. Else, and when another process is writing, a thread does it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic

import structlog

from store.api import E
from store.errors import StoreError
from store.sql.committer import Committer, Group, Job
from store.times import Times

logger = structlog.get_logger()

MOST_LAZY = 500
AGAIN = 0.5
"""Seconds after which the database is tried again that has refused."""
FEW = 4
"""Jobs of a group that may be committed on the loop."""
QUICK = 0.003
"""Seconds that a commit typically takes on a disk on which the loop may wait for it."""
WEIGHT = 0.1
"""Of the latest commit in what is typical."""
SPACING = 5
"""How many lazy delays lie between groups of what is put aside, while it goes on coming: a commit and a fold for
hundreds of copies cost little more than for one."""


class Writer(Generic[E]):
    """Takes jobs on the event loop, and delivers each group there when it is done, in order."""

    def __init__(
        self, committer: Committer[E], deliver: Callable[[Group[E]], None], lazy_delay: float, commits: Times
    ) -> None:
        self._committer = committer
        self._commits = commits
        self._deliver = deliver
        self._lazy_delay = lazy_delay
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log-writer")
        self._waiting: list[Job[E]] = []
        self._kept: list[Job[E]] = []
        #: the database has refused, and has not yet taken what was kept
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        self._aside: list[Job[E]] = []
        self._aside_timer: asyncio.TimerHandle | None = None
        #: what is put aside does not go before this (time of the loop)
        self._aside_from = 0.0
        self._typical = QUICK / 2
        #: somebody waits for what is waiting
        self._eager = False
        #: something of it takes its time
        self._long = False
        #: a step is due on the loop; a group is in the thread
        self._due = self._busy = False
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, job: Job[E], *, long: bool = False) -> None:
        """Adds a job to the next group; a long one never runs on the loop."""
        self._waiting.append(job)
        self._idle.clear()
        self._long = self._long or long
        if self._refused and (job[2] or job[3]):
            return
        if not job[2] or len(self._waiting) >= MOST_LAZY:
            self._hurry()
        elif self._timer is None:
            self._timer = self._loop.call_later(self._lazy_delay, self._hurry)

    def put_aside(self, job: Job[E]) -> None:
        """Adds a job that goes with its like, when they have waited for a while or are many; for longer where some
        have just gone."""
        self._aside.append(job)
        self._idle.clear()
        if len(self._aside) >= MOST_LAZY:
            self.call_in()
            self._hurry()
        elif self._aside_timer is None:
            due = max(self._loop.time() + self._lazy_delay, self._aside_from)
            self._aside_timer = self._loop.call_at(due, self._aside_due)

    def _aside_due(self) -> None:
        self.call_in()
        self._hurry()

    def call_in(self) -> None:
        """What was put aside goes with the next group."""
        if self._aside_timer is not None:
            self._aside_timer.cancel()
            self._aside_timer = None
        if self._aside:
            self._aside_from = self._loop.time() + SPACING * self._lazy_delay
        self._waiting, self._aside = self._aside + self._waiting, []

    async def stop(self) -> None:
        """Returns when all that was put before is done, and the projections have followed. What is still refused
        then is given up."""
        self.call_in()
        if self._waiting or self._kept:
            self._hurry()
        await self._idle.wait()
        if self._timer is not None:
            self._timer.cancel()
        if self._committer.is_behind:
            await self._loop.run_in_executor(self._thread, self._committer.run, [])
        self._thread.shutdown()
        closed = StoreError("the log was closed before it could be written")
        self._deliver(Group([(waiter, None, closed) for _, waiter, *_ in self._kept], self._committer.epoch))

    def _hurry(self) -> None:
        self._eager = True
        self._idle.clear()
        if not (self._due or self._busy):
            self._due = True
            # What others put in this turn of the loop joins the group.
            self._loop.call_soon(self._step)

    def _step(self) -> None:
        self._due = False
        if self._busy:
            return
        quick = self._is_quick()
        jobs, self._kept, self._waiting = self._kept + self._waiting, [], []
        self._eager = self._long = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if quick:
            begin = time.perf_counter()
            groups = self._committer.run_at_once(jobs)
            if groups is not None:
                seconds = time.perf_counter() - begin
                self._learn(seconds)
                self._commits.add(seconds)
                self._keep(groups)
                self._finish(groups)
                return
        self._begin(jobs)

    def _begin(self, jobs: list[Job[E]]) -> None:
        self._busy = True
        self._idle.clear()
        self._thread.submit(self._run, jobs).add_done_callback(self._ran)

    def _is_quick(self) -> bool:
        """Whether what waits can be committed on the loop. What is folded, and those for whom nobody waits, can wait
        for the thread."""
        if self._typical >= QUICK or self._long or self._refused:
            return False
        return len(self._waiting) <= FEW and not all(lazy for _, _, lazy, _ in self._waiting)

    def _learn(self, seconds: float) -> None:
        self._typical += WEIGHT * (seconds - self._typical)

    def _run(self, jobs: list[Job[E]]) -> tuple[list[Group[E]], float]:
        begin = time.perf_counter()
        return self._committer.run(jobs, warily=self._refused), time.perf_counter() - begin

    def _ran(self, done: Future[tuple[list[Group[E]], float]]) -> None:
        """From the thread: one call into the loop for a whole group."""
        try:
            self._loop.call_soon_threadsafe(self._back, done)
        except RuntimeError:
            # The loop is closed: nobody waits any more, and what was committed stays.
            return

    def _back(self, done: Future[tuple[list[Group[E]], float]]) -> None:
        groups, seconds = done.result()
        self._busy = False
        if sum(len(group.done) for group in groups) <= FEW:
            self._learn(seconds)
        if any(group.done for group in groups):
            self._commits.add(seconds)
        self._keep(groups)
        if self._eager and not self._is_quick():
            # The thread goes on while what it did is delivered.
            self._step()
        self._finish(groups)

    def _keep(self, groups: list[Group[E]]) -> None:
        """Puts what was refused before what waits."""
        self._kept = [job for group in groups for job in group.kept]
        refusal = next((group.refusal for group in groups if group.refusal is not None), None)
        if refusal is not None and not self._refused:
            logger.error("the log is not written; what came from others waits", error=str(refusal))
        elif refusal is None and self._refused:
            logger.info("the log is written again")
        self._refused = refusal is not None

    def _finish(self, groups: list[Group[E]]) -> None:
        for group in groups:
            self._deliver(group)
        if self._busy or self._due:
            return
        if self._eager:
            self._hurry()
        elif self._refused:
            self._idle.set()
            if self._timer is None:
                self._timer = self._loop.call_later(AGAIN, self._hurry)
        elif self._committer.is_due and not self._aside and any(group.done for group in groups):
            # Whoever waited has been answered: now is better than in the group of the next. What is put aside
            # folds all in its own commit soon.
            self._begin([])
        elif not (self._waiting or self._aside):
            self._idle.set()
            if self._committer.is_behind:
                self._timer = self._loop.call_later(self._lazy_delay, self._hurry)

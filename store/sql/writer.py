"""The one writer of a log in this process: a thread that commits what waits in groups.

While a group is committed the next one gathers, so a commit (an fsync) is shared by all who wait, and
nobody waits for a timer. Only lazy jobs wait: for a job that is not lazy, or for a short while.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic

from store.api import E, Stored
from store.errors import StoreError
from store.sql import sqlite
from store.sql.ledger import Ledger
from store.sql.tx import SqlTx

MOST_LAZY = 500


@dataclass(slots=True)
class Job(Generic[E]):
    """An op, who waits for it (the writer only hands that back), and what became of it."""

    op: Callable[[SqlTx[E]], Any]
    waiter: Any
    lazy: bool = False
    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Group(Generic[E]):
    """Jobs that were committed together (or failed), the life of the log after it, the events that
    they stored, and those of them that are this tier's own."""

    jobs: list[Job[E]]
    epoch: str
    filed: list[Stored[E]] = field(default_factory=list)
    appended: list[E] = field(default_factory=list)


class _Spoiled(Exception):
    """An op raised after it had changed something: the others must be run again without it."""


class _Unavailable(Exception):
    """The database would not begin or commit: no op is to blame, and none would fare better alone."""


class Writer(Generic[E]):
    """Runs jobs in groups in a thread of its own, and delivers each group, done, from that thread."""

    def __init__(
        self,
        ledger: Ledger[E],
        decode: Callable[[bytes], E],
        deliver: Callable[[Group[E]], None],
        lazy_delay: float,
    ) -> None:
        self._ledger = ledger
        self._decode = decode
        self._deliver = deliver
        self._lazy_delay = lazy_delay
        self._queue: queue.SimpleQueue[Job[E] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="log-writer", daemon=True)

    def start(self) -> None:
        """Begins to work."""
        self._thread.start()

    def put(self, job: Job[E]) -> None:
        """Adds a job to the next group."""
        self._queue.put(job)

    def stop(self) -> None:
        """Returns when all that was put before is done."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        more = True
        while more:
            jobs, more = self._gather()
            if not jobs:
                continue
            for group in self._run(jobs):
                self._deliver(group)

    def _gather(self) -> tuple[list[Job[E]], bool]:
        """The jobs of the next group, and whether there may be more after them."""
        jobs: list[Job[E]] = []
        eager, deadline = False, 0.0
        while True:
            try:
                job = self._next(jobs, eager, deadline)
            except queue.Empty:
                return jobs, True
            if job is None:
                return jobs, False
            if not jobs:
                deadline = time.monotonic() + self._lazy_delay
            jobs.append(job)
            eager = eager or not job.lazy

    def _next(self, jobs: list[Job[E]], eager: bool, deadline: float) -> Job[E] | None:
        if not jobs:
            return self._queue.get()
        if eager or len(jobs) >= MOST_LAZY:
            return self._queue.get_nowait()
        return self._queue.get(timeout=max(0.0, deadline - time.monotonic()))

    def _run(self, jobs: list[Job[E]]) -> list[Group[E]]:
        """One group, or, where one job of several failed, each job as a group of its own."""
        try:
            return [self._commit(jobs)]
        except Exception as error:
            # A rollback fails only where there is nothing to roll back.
            with contextlib.suppress(*sqlite.ERRORS):
                self._ledger.roll_back()
            if len(jobs) > 1 and not isinstance(error, _Unavailable):
                return [group for job in jobs for group in self._run([job])]
            return [self._failed(jobs, error)]

    def _commit(self, jobs: list[Job[E]]) -> Group[E]:
        ledger = self._ledger
        try:
            ledger.begin()
        except sqlite.ERRORS as error:
            raise _Unavailable from error
        group = Group(jobs, ledger.epoch)
        for job in jobs:
            group.appended += self._attempt(job)
        ledger.flush()
        group.filed, group.epoch = ledger.filed, ledger.epoch
        try:
            ledger.commit()
        except sqlite.ERRORS as error:
            raise _Unavailable from error
        return group

    def _attempt(self, job: Job[E]) -> list[E]:
        """Runs a job's op; what it raised without having changed anything is its result."""
        tx, before = SqlTx(self._ledger, self._decode), self._ledger.changes
        job.error = None
        try:
            job.result = job.op(tx)
        except Exception as error:
            if self._ledger.changes != before:
                raise _Spoiled from error
            job.error = _told(error)
        return tx.appended

    def _failed(self, jobs: list[Job[E]], error: Exception) -> Group[E]:
        cause = error.__cause__ if isinstance(error, (_Spoiled, _Unavailable)) else error
        for job in jobs:
            job.result, job.error = None, _told(cause or error)
        return Group(jobs, self._ledger.epoch)


def _told(error: BaseException) -> BaseException:
    """The error for the caller: what the database says becomes an error of the store."""
    if not isinstance(error, sqlite.ERRORS):
        return error
    told = StoreError(f"the log was not written: {error}")
    told.__cause__ = error
    return told

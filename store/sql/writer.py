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
MOST_UNFOLDED = 1000
FOLD_DELAY = 0.05
"""Seconds by which projections may be behind while there is work."""


Op = Callable[[SqlTx[E]], Any]

# Plain tuples: these are made for every write, and a NamedTuple takes ten times as long.
Job = tuple[Op[E], Any, bool]
"""An op, who waits for it (a token that the writer only hands back), and whether it is lazy."""

Done = tuple[Any, Any, BaseException | None]
"""Who waited, and the result, or else the error."""


@dataclass(slots=True)
class Group(Generic[E]):
    """Jobs that were committed together (or failed), the life of the log after it, the events that
    they stored, and those of them that are this tier's own."""

    done: list[Done]
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
        self._folded_at = 0.0
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
            for group in self._run(jobs):
                self._deliver(group)
        if self._ledger.is_behind:
            self._run([])

    def _gather(self) -> tuple[list[Job[E]], bool]:
        """The jobs of the next group, and whether there may be more after them. No jobs: it is quiet, and
        the projections can follow."""
        jobs: list[Job[E]] = []
        eager = False
        try:
            job = self._queue.get(timeout=self._lazy_delay if self._ledger.is_behind else None)
        except queue.Empty:
            return jobs, True
        deadline = time.monotonic() + self._lazy_delay
        while job is not None:
            jobs.append(job)
            eager = eager or not job[2] or len(jobs) >= MOST_LAZY
            try:
                if eager:
                    job = self._queue.get_nowait()
                else:
                    job = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return jobs, True
        return jobs, False

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
        tx = SqlTx(ledger, self._decode)
        done: list[Done] = []
        for op, waiter, _ in jobs:
            before = ledger.changes
            try:
                done.append((waiter, op(tx), None))
            except Exception as error:
                if ledger.changes != before:
                    raise _Spoiled from error
                # It left nothing behind, so its error is its result, and the group goes on.
                done.append((waiter, None, _told(error)))
        if self._is_time_to_fold(jobs):
            ledger.fold()
            self._folded_at = time.monotonic()
        ledger.write()
        group = Group(done, ledger.epoch, ledger.filed, tx.appended)
        try:
            ledger.commit()
        except sqlite.ERRORS as error:
            raise _Unavailable from error
        return group

    def _is_time_to_fold(self, jobs: list[Job[E]]) -> bool:
        """Folding is left out of the commits for which somebody waits, as long as it is not much or late."""
        late = time.monotonic() - self._folded_at > FOLD_DELAY
        return not jobs or late or self._ledger.unfolded > MOST_UNFOLDED

    def _failed(self, jobs: list[Job[E]], error: Exception) -> Group[E]:
        cause = error.__cause__ if isinstance(error, (_Spoiled, _Unavailable)) else error
        return Group([(waiter, None, _told(cause or error)) for _, waiter, _ in jobs], self._ledger.epoch)


def _told(error: BaseException) -> BaseException:
    """The error for the caller: what the database says becomes an error of the store."""
    if not isinstance(error, sqlite.ERRORS):
        return error
    told = StoreError(f"the log was not written: {error}")
    told.__cause__ = error
    return told

"""Commits jobs in groups: what belongs to one group happens together, and one bad job harms no other."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic

from store.api import E, Stored
from store.errors import StoreError
from store.sql.ledger import Ledger
from store.sql.tx import SqlTx

MOST_UNFOLDED = 1000
FOLD_DELAY = 0.05
"""Seconds by which what follows from events may be behind while there is work."""
PATIENCE = 3
"""How many times that long it may be behind while there is no moment without work."""


Op = Callable[[SqlTx[E]], Any]

# Plain tuples: these are made for every write, and a NamedTuple takes ten times as long.
Job = tuple[Op[E], Any, bool, bool]
"""An op, who waits for it (a token that is only handed back), whether it is lazy, and whether it is kept when the
database refuses it."""

Done = tuple[Any, Any, BaseException | None]
"""Who waited, and the result, or else the error."""


@dataclass(slots=True)
class Group(Generic[E]):
    """Jobs that were committed together (or failed), the life of the log after it, the events that
    they stored, and those of them that are this tier's own. Jobs that are kept because of a refusal are to be
    handed over again, before all others."""

    done: list[Done]
    epoch: str
    filed: list[Stored[E]] = field(default_factory=list)
    appended: list[E] = field(default_factory=list)
    kept: list[Job[E]] = field(default_factory=list)
    refusal: BaseException | None = None


class _Spoiled(Exception):
    """An op raised after it had changed something: the others must be run again without it."""


class _Unavailable(Exception):
    """The database would not begin or commit: no op is to blame, and none would fare better alone."""


class Committer(Generic[E]):
    """Runs groups of jobs on a ledger, one after the other; in whatever thread, but never in two at once."""

    def __init__(self, ledger: Ledger[E], decode: Callable[[bytes], E]) -> None:
        self._ledger = ledger
        self._database = ledger.database
        self._decode = decode
        self._behind_since: float | None = None

    @property
    def epoch(self) -> str:
        """The life of the log."""
        return self._ledger.epoch

    @property
    def is_behind(self) -> bool:
        """Whether projections have yet to follow."""
        return self._ledger.is_behind

    @property
    def is_due(self) -> bool:
        """Whether what follows from events has waited for long enough."""
        return self._is_late(FOLD_DELAY)

    def _is_late(self, seconds: float) -> bool:
        return self._behind_since is not None and time.monotonic() - self._behind_since > seconds

    def run(self, jobs: list[Job[E]], *, warily: bool = False) -> list[Group[E]]:
        """One group, or, where one job of several failed, each job as a group of its own. No jobs: only the
        projections follow. `warily`: the first job alone, and the others only if the database does not refuse it."""
        if warily:
            return self._in_turn([jobs[:1], jobs[1:]])
        try:
            return [self._commit(jobs)]
        except Exception as error:
            # A rollback fails only where there is nothing to roll back.
            with contextlib.suppress(*self._database.errors):
                self._ledger.roll_back()
            if self._database.is_conflict(error.__cause__ or error) and not self._ledger.careful:
                with self._ledger.with_care():
                    return self.run(jobs)
            if len(jobs) > 1 and not isinstance(error, _Unavailable):
                return self._in_turn([job] for job in jobs)
            return [self._failed(jobs, error)]

    def _in_turn(self, parts: Iterable[list[Job[E]]]) -> list[Group[E]]:
        """Each part as a group; after the refusal of a job that is kept, all others are refused too."""
        groups: list[Group[E]] = []
        for part in parts:
            if groups and (refusal := groups[-1].refusal) is not None:
                groups.append(self._refused(part, refusal))
            elif part:
                groups += self.run(part)
        return groups

    def run_at_once(self, jobs: list[Job[E]]) -> list[Group[E]] | None:
        """The same, or None, and nothing has happened, where that might take a while: another process is just
        writing, or the database is far."""
        if not self._database.is_near:
            return None
        try:
            if not self._ledger.begin_at_once():
                return None
        except self._database.errors as error:
            return [self._failed(jobs, error)]
        return self.run(jobs)

    def _commit(self, jobs: list[Job[E]]) -> Group[E]:
        ledger = self._ledger
        try:
            if not ledger.is_open:
                ledger.begin()
        except self._database.errors as error:
            raise _Unavailable from error
        tx = SqlTx(ledger, self._decode)
        done: list[Done] = []
        for op, waiter, *_ in jobs:
            before = ledger.changes
            try:
                done.append((waiter, op(tx), None))
            except Exception as error:
                # Where a statement failed, the database may have given up the whole transaction.
                if ledger.changes != before or isinstance(error, self._database.errors):
                    raise _Spoiled from error
                # It left nothing behind, so its error is its result, and the group goes on.
                done.append((waiter, None, self._told(error)))
        if self._is_time_to_follow(jobs):
            ledger.flush()
        else:
            ledger.write()
        group = Group(done, ledger.epoch, ledger.filed, tx.appended)
        try:
            ledger.commit()
        except self._database.errors as error:
            raise _Unavailable from error
        if not ledger.is_behind:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = time.monotonic()
        return group

    def _is_time_to_follow(self, jobs: list[Job[E]]) -> bool:
        """What follows from events is left out of the commits for which somebody waits, as long as it is not
        much or late. Where nobody waits, it costs least in the same commit."""
        return (
            all(lazy for _, _, lazy, _ in jobs)
            or self._is_late(PATIENCE * FOLD_DELAY)
            or self._ledger.unfolded > MOST_UNFOLDED
        )

    def _failed(self, jobs: list[Job[E]], error: Exception) -> Group[E]:
        cause = (error.__cause__ if isinstance(error, (_Spoiled, _Unavailable)) else None) or error
        told = self._told(cause)
        is_refusal = isinstance(cause, self._database.errors) and not self._database.is_fault(cause)
        if is_refusal and any(keep for *_, keep in jobs):
            return self._refused(jobs, told)
        return Group([(waiter, None, told) for _, waiter, *_ in jobs], self._ledger.epoch)

    def _refused(self, jobs: list[Job[E]], refusal: BaseException) -> Group[E]:
        done: list[Done] = [(waiter, None, refusal) for _, waiter, _, keep in jobs if not keep]
        return Group(done, self._ledger.epoch, kept=[job for job in jobs if job[3]], refusal=refusal)

    def _told(self, error: BaseException) -> BaseException:
        """The error for the caller: what the database says becomes an error of the store."""
        if not isinstance(error, self._database.errors):
            return error
        told = StoreError(self._database.explain(error), self._database.remedy(error))
        told.__cause__ = error
        return told

"""`SqlLog`: a tier's event log in an SQL database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Generic, Self, cast

from store.api import E, Reader, Sign, Stored, T, Tx
from store.errors import LogDamaged, StoreError
from store.sql.backend import Database, Session, Watch, plain
from store.sql.committer import Committer, Group
from store.sql.open import open_ledger
from store.sql.projector import Progress
from store.sql.reader import Behind, SqlReader
from store.sql.tail import Tail
from store.sql.tx import SqlTx
from store.sql.writer import Writer
from store.times import Times

READERS = 4
POLL_SECONDS = 0.05
FOLLOW_BATCH = 500
AWAY_SECONDS = 0.5

RebuildProgress = Callable[[str, int, int], None]
"""Called with (projection, rows done, rows in all)."""


class SqlLog(Generic[E]):
    """`store.api.Log`; use it in an `async with`. Other processes may use the same log at once."""

    def __init__(
        self,
        database: Database,
        *,
        source: str,
        decode: Callable[[bytes], E],
        synchronous: str | None = None,
        lazy_delay: float = 0.02,
        sole: bool = False,
        sign: Sign | None = None,
    ) -> None:
        self._database = database
        self._source = source
        self._decode = decode
        self._lazy_delay = lazy_delay
        self._sole = sole
        self._sign = sign
        self._epoch = ""
        self._synchronous = synchronous
        self._tail: Tail[E] = Tail()
        self._listeners: list[Callable[[list[E]], None]] = []
        self._sessions = threading.local()
        self._opened: list[Session] = []
        self._closed = True
        self.commits = Times()

    @property
    def where(self) -> str:
        """The file, or the database."""
        return self._database.where

    @property
    def source(self) -> str:
        return self._source

    @property
    def epoch(self) -> str:
        return self._epoch

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._ledger = await asyncio.to_thread(
            open_ledger, self._database, self._source, self._decode, self._synchronous, self._sign
        )
        self._epoch = self._ledger.epoch
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="log-reader")
        try:
            watch = await asyncio.to_thread(self._begin_watch)
        except BaseException:
            self._ledger.session.close()
            raise
        self._poller = asyncio.create_task(self._poll(watch), name="log-poll")
        committer = Committer(self._ledger, self._decode)
        self._writer = Writer(committer, self._deliver, self._lazy_delay, self.commits)
        self._closed = False
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._closed = True
        self._tail.wake()
        await self._writer.stop()
        self._poller.cancel()
        await asyncio.gather(self._poller, return_exceptions=True)
        await asyncio.to_thread(self._readers.shutdown)
        for session in (self._ledger.session, *self._opened):
            session.close()
        self._database.dispose()

    # -- writing --------------------------------------------------------------------------------

    def write(
        self,
        op: Callable[[Tx[E]], T],
        *,
        keep: bool = False,
        lazy: bool = False,
        aside: bool = False,
        long: bool = False,
    ) -> asyncio.Future[T]:
        if self._closed:
            raise StoreError(f"the log {self.where} is closed")
        done: asyncio.Future[T] = self._loop.create_future()
        if aside:
            self._writer.put_aside((op, done, True, keep))
        else:
            self._writer.put((op, done, lazy, keep), long=long)
        return done

    def _deliver(self, group: Group[E]) -> None:
        self._epoch = group.epoch
        if group.filed:
            self._tail.push(group.filed)
        if group.appended:
            self._tell(group.appended)
        for waiter, result, error in group.done:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(result)
            else:
                waiter.set_exception(error)

    def _tell(self, appended: list[E]) -> None:
        for listener in self._listeners:
            try:
                listener(appended)
            except Exception as error:
                # One bad listener must not keep the others from hearing, nor the writers waiting.
                self._loop.call_exception_handler({"message": "a listener of the log failed", "exception": error})

    def on_commit(self, listener: Callable[[list[E]], None]) -> None:
        self._listeners.append(listener)

    async def flush(self) -> None:
        self._writer.call_in()
        await self._change(_settle)

    async def begin_life(self, above: str = "") -> str:
        """Begins a life of this log that sorts after `above` and all before; returns its epoch."""
        return await self._change(lambda tx: tx.begin_life(above))

    async def rebuild(self, name: str | None = None, progress: RebuildProgress | None = None) -> None:
        """Drops the records of one projection, or of all, and folds the whole log again, in one
        transaction: readers see the old records until the new ones are there. `progress` is called
        on the loop with (projection, rows done, rows in all). KeyError if there is no such projection."""
        known = [projection.name for projection in self._ledger.projector.projections]
        if name is not None and name not in known:
            raise KeyError(f"no projection {name!r}; there are {', '.join(known)}")
        for each in known if name is None else [name]:
            await self._change(partial(SqlTx.rebuild, name=each, progress=self._reporter(each, progress)), long=True)

    async def _change(self, op: Callable[[SqlTx[E]], T], *, long: bool = False) -> T:
        """`write` of an op that needs more than `store.api.Tx`."""
        return await self.write(cast("Callable[[Tx[E]], T]", op), long=long)

    def _reporter(self, name: str, progress: RebuildProgress | None) -> Progress | None:
        if progress is None:
            return None

        def report(done: int, of: int) -> None:
            self._loop.call_soon_threadsafe(progress, name, done, of)

        return report

    # -- reading --------------------------------------------------------------------------------

    async def read(self, query: Callable[[Reader[E]], T], *, stale: bool = False) -> T:
        if self._closed:
            raise StoreError(f"the log {self.where} is closed")
        try:
            return await self._loop.run_in_executor(self._readers, self._query, query, False)
        except Behind:
            # Whoever has seen an event finds what follows from it, also if another process wrote it.
            try:
                await self.flush()
            except StoreError:
                if not stale:
                    raise
            return await self._loop.run_in_executor(self._readers, self._query, query, True)

    def _query(self, query: Callable[[Reader[E]], T], patient: bool) -> T:
        try:
            session = getattr(self._sessions, "session", None)
            if session is None:
                session = self._sessions.session = self._database.session()
                self._opened.append(session)
            session.begin_read()
            try:
                return query(SqlReader(session, self._source, self._epoch, self._decode, patient=patient))
            finally:
                session.end_read()
        except self._database.errors as error:
            kind = LogDamaged if self._database.is_damage(error) else StoreError
            raise kind(f"the log was not read: {plain(error)}") from error

    async def follow(self, *, after: int = 0, types: Sequence[str] = ()) -> AsyncIterator[list[Stored[E]]]:
        news = self._tail.join()
        try:
            while not self._closed:
                news.clear()
                latest = self._tail.after(after)
                if latest is None:
                    try:
                        batch, after = await self.read(partial(_page, after=after, types=types))
                    except StoreError as error:
                        if self._database.is_near or isinstance(error, LogDamaged):
                            raise
                        # A database that is away comes back.
                        await asyncio.sleep(AWAY_SECONDS)
                        continue
                else:
                    batch = [stored for stored in latest if not types or stored.event.type in types]
                    after = latest[-1].row if latest else after
                if batch:
                    yield batch
                else:
                    await news.wait()
        finally:
            self._tail.leave(news)

    def _begin_watch(self) -> Watch:
        try:
            watch = self._database.watch()
        except self._database.errors as error:
            raise StoreError(f"{self.where}: {plain(error)}") from error
        if self._sole and not watch.claim():
            watch.close()
            raise StoreError(f"another tier of {self._source} uses {self.where}: stop it, or choose another database")
        return watch

    async def _poll(self, watch: Watch) -> None:
        """Sees what other processes commit."""
        try:
            while True:
                await asyncio.sleep(POLL_SECONDS)
                try:
                    if not self._tail.is_followed:
                        watch.skip()
                    elif (watch.news() or 0) > self._tail.last_row:
                        self._tail.forget()
                except self._database.errors:
                    await asyncio.sleep(AWAY_SECONDS)
                    with suppress(*self._database.errors):
                        await asyncio.to_thread(watch.renew)
        finally:
            watch.close()


def _settle(tx: SqlTx[E]) -> None:
    """An op that is done when all before it are, and the projections have followed."""
    tx.settle()


def _page(log: Reader[E], after: int, types: Sequence[str]) -> tuple[list[Stored[E]], int]:
    """The next events, and the row from which to go on."""
    batch = log.events(after=after, types=types, limit=FOLLOW_BATCH)
    return batch, batch[-1].row if len(batch) == FOLLOW_BATCH else log.last_row()

"""The host of the shims: takes received commands in order, executes, reports (DESIGN 6.3, 6.5).

A transactional shim (the local one) commits its effect and its result in one transaction. What any
other shim does can not be taken back: `received` is committed before it, and before what is not safe to
repeat also `started`. After a restart the host goes on with what was received and has no final: what is
safe is executed again, what had started is in doubt and waits for a person.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial

import structlog

from bus import types
from bus.errors import OteError
from bus.event import Event
from services.shims import finals
from services.shims.asking import Asking
from services.shims.backlog import Backlog
from services.shims.doubt import in_doubt_here, verdicts_left
from services.shims.job import (
    SETTLED,
    AnyShim,
    Job,
    NotReceived,
    begin_in,
    caused_by,
    execute_in,
    is_settled,
    keys_of,
    mail_in_log,
    mail_in_state,
    must_be_received,
    once,
    restore_in,
    transactional,
    untold,
)
from services.shims.observer import AskingObserver, LogObserver, observers
from services.shims.queries import Queries
from services.shims.served import ServedShim, in_log
from services.shims.tier import TierShim
from services.shims.work import Work, WorkQueue
from services.tier.mail import Mail, is_first, is_for_another_life
from services.tier.marker import Started
from services.tier.runtime import Runtime
from store.api import Cursor, TargetRow, Tx
from store.errors import StoreError

logger = structlog.get_logger()

#: When a result can not be recorded yet, it is offered again after this long (seconds).
REWRITE = 1.0
#: Commands, and their bytes, that are held in memory; what comes beyond that waits in the log.
MOST, MOST_BYTES = 4_000, 32_000_000

#: Mail that is about another command.
CONTROL = (types.CANCEL, types.RESOLVE)


class Host:
    """Executes what was received here, with the shims of this cluster; the first one is the default. Unless it
    `serves` them, nobody else reaches them on the bus: it can share the server of another tier."""

    name = "shims"

    def __init__(self, runtime: Runtime, shims: Sequence[AnyShim], *, serves: bool = True) -> None:
        self._runtime = runtime
        self._serves = serves
        self._me = runtime.path
        self._shims: Mapping[str, AnyShim] = {shim.kind: shim for shim in shims}
        self._default = shims[0].kind if shims else None
        self._queue: WorkQueue[Job] = WorkQueue()
        self._backlog = Backlog(
            runtime.log, self._me, take=self._take_up, is_full=self._is_full, has_room=self._has_room
        )
        #: Up to which place of this log's own stream was received before this process was.
        self._begun = ("", 0)
        #: What was given up while it waited in the log: not to be begun when it is read.
        self._given_up: set[str] = set()
        self._asking = Asking(runtime.clock, self._me, self._shims)
        self._observers = observers(runtime, shims)
        self._resolving = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._own = TierShim()
        self._started = Started(runtime.log, runtime.settings.state)
        self._queries = Queries(runtime, self._shims)
        self._row = 0
        #: The log was lost, or is new: what it holds of the past may not be all.
        self._lost = False
        self._taking_over: asyncio.Task[None] | None = None
        #: What succeeded in a log that was lost, and left nothing by which its effect could be made again.
        self._untold: set[str] = set()
        self._stopped = False

    async def start(self) -> None:
        """Begins where a shim has something to begin, and goes on with what was received and has no final; then
        listens."""
        self._runtime.returned.connect(self._on_returned)
        self._runtime.mail.connect(self._on_mail)
        if self._runtime.history.is_set():
            await self._take_over()
        else:
            self._lost = True
            self._taking_over = self._runtime.spawn(self._take_over_later(), "wait for the history")
        for shim in self._shims.values():
            if self._serves and transactional(shim):
                run = in_log(shim, self._runtime.log)  # type: ignore[arg-type]
                served = ServedShim(self._runtime.bus, shim.kind, shim.describe, run, shim.watch)
                await self._stack.enter_async_context(served)
        if self._serves:
            await self._queries.start()
            self._stack.push_async_callback(self._queries.stop)

    async def _take_over_later(self) -> None:
        """Until the history of a log that was lost is back, mail waits in the log."""
        await self._runtime.history.wait()
        await self._take_over()
        for kind, observer in self._observers.items():
            self._runtime.spawn(observer.run(), f"observe {kind}")

    def _on_returned(self, events: list[Event]) -> None:
        """What this cluster had told of its objects is what was in the log that was lost. What it did after that is
        done again, when its mail comes."""
        self._untold.update(untold(events))
        for shim in self._shims.values():
            if transactional(shim):
                self._runtime.log.write(partial(restore_in, shim=shim, events=events), keep=True)
        if self._runtime.history.is_set():
            # What came back may be received, and have no final; nobody else would ever begin it.
            self._look_again()

    def _look_again(self) -> None:
        self._backlog.look_again()
        self._runtime.spawn(self._catch_up(), "look again")

    async def _take_over(self) -> None:
        for shim in self._shims.values():
            if transactional(shim):
                await self._runtime.log.write(partial(begin_in, shim))
        self._row, own, verdicts = await self._runtime.log.read(
            lambda reader: (reader.last_row(), reader.streams(self._me), verdicts_left(reader, self._me))
        )
        self._begun = max(((s.epoch, seq) for s, seq in own.items() if s.source == self._me), default=("", 0))
        await self._backlog.load()
        for event in verdicts:
            self._runtime.spawn(self._resolve(event), "resolve")
        for observer in self._observers.values():
            if isinstance(observer, LogObserver):
                await observer.start()

    async def run(self) -> None:
        """Learns what the shims on the bus can do, and tells of their objects; then work comes as mail."""
        for shim in self._shims.values():
            if not transactional(shim):
                self._runtime.spawn(_learn(shim), f"describe {shim.kind}")
        if not self._lost:
            for kind, observer in self._observers.items():
                self._runtime.spawn(observer.run(), f"observe {kind}")
        if self._runtime.settings.joins:
            await self._follow()
        await asyncio.Event().wait()

    async def _follow(self) -> None:
        """Where the controller is another process, its mail is found in the log; and so is what an ancestor gives back
        of a log that was lost, which may have no final."""
        if self._taking_over is not None:
            await asyncio.shield(self._taking_over)
        async for batch in self._runtime.log.follow(after=self._row, types=(types.RECEIVED, *CONTROL)):
            is_back = False
            for _, event in batch:
                if event.source == self._me and (event.epoch, event.seq or 0) <= self._begun:
                    # Of a log that was lost: it may have been started, or be done.
                    is_back = True
                    continue
                mail = await self._runtime.log.read(partial(mail_in_log, event=event, me=self._me))
                if mail is not None:
                    self._on_mail(mail)
            if is_back:
                self._look_again()

    async def stop(self) -> None:
        """What runs is left as a crash would leave it: the next start goes on with it."""
        self._stopped = True
        await self._stack.aclose()

    # -- mail --------------------------------------------------------------------------------------

    def _on_mail(self, mail: Mail) -> None:
        event = mail.event
        if mail.cover is not None or event is None:
            return
        if event.type == types.CANCEL:
            self._withdraw(str(event.data["command"]), event, types.CANCELLED)
        elif event.type == types.RESOLVE:
            self._runtime.spawn(self._resolve(event), "resolve")
        elif event.type == types.SUBMITTED:
            for cover in event.supersedes:
                if cover.path == self._me:
                    self._withdraw(cover.command, event, types.SUPERSEDED)
            if not self._backlog.keeps():
                # Where the controller is another process, mail is found in the log.
                self._add(event, mail.cursor, reread=self._runtime.settings.joins)

    def _is_full(self) -> bool:
        return len(self._queue) >= MOST or self._queue.weight >= MOST_BYTES

    def _has_room(self) -> bool:
        return len(self._queue) <= MOST // 2 and self._queue.weight <= MOST_BYTES // 2

    def _take_up(self, row: TargetRow, event: Event) -> None:
        """What the log says is received and has no final."""
        if row.command in self._queue or row.command in self._given_up:
            return
        resumed = row.received_at <= self._begun
        if resumed and row.state == "started":
            self._say(event, types.IN_DOUBT, finals.in_doubt())
        else:
            self._add(event, resumed=resumed, reread=True)

    def _withdraw(self, command: str, by: Event, kind: str) -> None:
        """Gives up what has not begun; what has begun says itself what became of it."""
        work = self._queue.find(command)
        # What an earlier life of this log had received may have come back before its mail.
        if work is None and (self._backlog.is_behind or not is_first(self._runtime.log.epoch)):
            self._give_up(command, by, kind)
        if work is None or work.what.resumed:
            return
        if self._queue.drop(command):
            self._say(work.what.event, kind, finals.withdrawn(by))
        elif work.what.idle and work.what.task is not None:
            work.what.idle = False
            work.what.task.cancel()
            self._finish(work, kind, finals.withdrawn(by))

    def _give_up(self, command: str, by: Event, kind: str) -> None:
        """The same for what waits in the log."""
        self._given_up.add(command)

        def op(tx: Tx[Event]) -> Event | None:
            event = mail_in_state(tx, command, self._me, "received")
            return None if event is None else tx.append(finals.draft(self._me, event, kind, finals.withdrawn(by)))

        self._record(op, lambda: None)

    def _doubt(self, event: Event) -> None:
        """What an earlier life of this log may have carried out, and may have said so."""
        draft = finals.draft(self._me, event, types.IN_DOUBT, finals.in_doubt_of_lost_life())

        def op(tx: Tx[Event]) -> Event | None:
            row = tx.target(event.data["command"], self._me)
            return None if row is not None and row.state in SETTLED else tx.append(draft)

        self._record(op, lambda: None)

    def _add(
        self,
        event: Event,
        cursor: Cursor | None = None,
        *,
        resumed: bool = False,
        retried: bool = False,
        reread: bool = False,
    ) -> None:
        """Work that comes with a cursor came as mail, other work is in the log; what is `resumed` may have begun, what
        was `reread` may have ended, what is `retried` a person wants done again."""
        do = event.data["do"]
        kind = do.get("shim") or self._default
        shim = self._own if kind == self._own.kind else self._shims.get(kind or "")
        if shim is None:
            self._say(event, types.REFUSED, finals.no_shim(kind, self._shims))
            return
        command = str(event.data["command"])
        if command in self._queue:
            return
        may_be_done = resumed and not transactional(shim)
        job = Job(event, shim, cursor, resumed, retried, reread, may_be_done, attempt=2 if resumed else 1)
        if self._is_doubtful(job, self._runtime.log.epoch):
            self._doubt(event)
            return
        keys = keys_of(shim, event)
        work = Work(command, job, keys, ordered=transactional(shim), weight=len(event.body))
        self._begin(self._queue.add(work))

    def _is_doubtful(self, job: Job, life: str) -> bool:
        """Whether an earlier life of this log may have carried out what must not be done twice; nothing is begun in
        another life than the one to which it was sent, unless a person says so."""
        return not (job.repeatable or job.retried) and is_for_another_life(job.event, self._me, life)

    # -- work --------------------------------------------------------------------------------------

    def _begin(self, due: Sequence[Work[Job]]) -> None:
        for work in due:
            if self._asking.expired(work.what.event) and work.what.may_be_done:
                # Too late to do it, and it may have been done in time.
                self._finish(work, types.IN_DOUBT, finals.in_doubt())
            elif self._asking.expired(work.what.event):
                self._finish(work, types.EXPIRED, finals.expired(work.what.event))
            elif transactional(work.what.shim):
                self._commit(work)
            else:
                work.what.task = self._runtime.spawn(self._execute(work), f"execute {work.id}")

    def _commit(self, work: Work[Job]) -> None:
        """Effect and result in one transaction: it happens once, or not at all."""
        job = work.what
        shim = job.shim
        request = self._asking.request(job)

        def op(tx: Tx[Event]) -> Event | None:
            must_be_received(tx, job)
            settled = is_settled(tx, job)
            if settled and not (job.repeatable and job.command in self._untold):
                return None
            answer, drafts = execute_in(shim, tx, request)
            for draft in drafts:
                tx.append(caused_by(job, draft))
            if settled:
                return None
            kind, data = finals.of_answer(answer)
            return tx.append(finals.draft(self._me, job.event, kind, data))

        self._record(op, lambda: self._done(work))

    async def _execute(self, work: Work[Job]) -> None:
        job = work.what
        async with self._asking.room(job):
            await self._carry_out(work)

    async def _carry_out(self, work: Work[Job]) -> None:
        job = work.what
        if self._asking.expired(job.event) and not job.may_be_done:
            self._finish(work, types.EXPIRED, finals.expired(job.event))
            return
        try:
            is_left = await self._runtime.log.write(partial(self._before, job=job), keep=True)
        except NotReceived as error:
            logger.error("a command was not carried out; its mail comes again", error=str(error))
            is_left = False
        if not is_left:
            self._done(work)
            return
        if not job.repeatable:
            await self._mark_started()
        observer = self._observers[job.shim.kind]
        assert isinstance(observer, AskingObserver)
        with observer.at_work(job):
            answer = await self._asking.answer(job)
        kind, data = (types.IN_DOUBT, finals.in_doubt()) if answer is None else finals.of_answer(answer)
        self._finish(work, kind, data)

    async def _mark_started(self) -> None:
        """A log that loses its end now must be found to have lost it: else the command would be done twice."""
        while True:
            try:
                return await self._started.note()
            except (OSError, StoreError) as error:
                logger.error("a command waits: the marker of the log was not written", error=str(error))
                await asyncio.sleep(REWRITE)

    def _before(self, tx: Tx[Event], job: Job) -> bool:
        """What is committed before a shim does what can not be taken back. False if the command has its final."""
        must_be_received(tx, job)
        if is_settled(tx, job):
            return False
        # The log may have been found to be an old copy since the command was received.
        if self._is_doubtful(job, tx.epoch):
            tx.append(finals.draft(self._me, job.event, types.IN_DOUBT, finals.in_doubt_of_lost_life()))
            return False
        if not job.repeatable:
            tx.append(finals.draft(self._me, job.event, types.STARTED, {}))
        return True

    # -- results -----------------------------------------------------------------------------------

    def _finish(self, work: Work[Job], kind: str, data: Mapping[str, object]) -> None:
        draft = finals.draft(self._me, work.what.event, kind, data)

        def op(tx: Tx[Event]) -> Event | None:
            must_be_received(tx, work.what)
            return None if is_settled(tx, work.what) else tx.append(draft)

        self._record(op, lambda: self._done(work))

    def _done(self, work: Work[Job]) -> None:
        self._begin(self._queue.done(work.id))
        if self._backlog.is_behind and not self._backlog.is_loading and self._has_room():
            self._runtime.spawn(self._catch_up(), "catch up")

    async def _catch_up(self) -> None:
        await self._backlog.load()
        if not self._backlog.is_behind:
            self._given_up.clear()

    def _say(self, event: Event, kind: str, data: Mapping[str, object]) -> None:
        draft = finals.draft(self._me, event, kind, data)
        self._record(lambda tx: tx.append(draft), lambda: None)

    def _record(self, op: Callable[[Tx[Event]], Event | None], then: Callable[[], None]) -> None:
        """A full disk delays a result, and loses none: no later one overtakes it."""

        def written(done: asyncio.Future[None]) -> None:
            if self._stopped or done.cancelled():
                return
            if (error := done.exception()) is None:
                then()
                return
            logger.error("a result was not recorded; trying again", error=str(error))
            asyncio.get_running_loop().call_later(REWRITE, self._record, op, then)

        if not self._stopped:
            self._runtime.log.write(once(op), keep=True).add_done_callback(written)

    # -- in doubt ----------------------------------------------------------------------------------

    async def _resolve(self, event: Event) -> None:
        """A person has decided what became of a command in doubt; of several verdicts the first counts."""
        command, verdict = str(event.data["command"]), str(event.data["as"])
        async with self._resolving:
            # Looked at first: what is tried again now may be done before the log has been read.
            at_work = command in self._queue
            original = await self._runtime.log.write(lambda tx: in_doubt_here(tx, command, self._me), keep=True)
            if original is None or at_work:
                logger.warning("not in doubt", command=command, verdict=verdict)
            elif verdict == "retry":
                self._add(original, resumed=True, retried=True)
            else:
                kind, data = finals.resolved(verdict, event)
                self._say(original, kind, data)


async def _learn(shim: AnyShim) -> None:
    """So that the first command already knows which verbs are safe to repeat."""
    try:
        await shim.describe()
    except OteError as error:
        logger.info("the shim does not describe itself", kind=shim.kind, error=str(error))

"""What the services of one process share: the log, the bus, and what they tell each other at once.

Services never call each other. What one knows the others find in the log or on the bus; the two
signals here only tell them sooner, before a commit or without a poll, what they would find anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

import structlog

from bus import paths
from bus.client import Bus
from bus.errors import Unavailable
from bus.event import Draft, Event, new_id
from bus.sync import Mark
from leafnodes.byte_relay import ByteRelay
from leafnodes.credentials.tier import Credentials
from leafnodes.server import NatsServer
from services.tier.clock import Clock
from services.tier.mail import Mail
from services.tier.metrics import Metrics
from services.tier.outbox import Outbox, Standing
from services.tier.places import Route
from services.tier.relaying import relay_address
from services.tier.settings import TierSettings
from services.tier.trust import Trust
from store.api import Log, Reader, Stream, Tx
from store.errors import StoreError

T = TypeVar("T")
logger = structlog.get_logger()


class Service(Protocol):
    """One service of a tier. `start` returns when it is ready, `run` works until it is cancelled."""

    name: str

    async def start(self) -> None: ...
    async def run(self) -> None: ...
    async def stop(self) -> None: ...


class Signal(Generic[T]):
    """Tells every listener at once, in the order in which they came."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[T], None]] = []

    def connect(self, listener: Callable[[T], None]) -> None:
        """Calls listener with all that is emitted from now on."""
        self._listeners.append(listener)

    def emit(self, what: T) -> None:
        """Tells the listeners; an error of one is logged and harms no other."""
        for listener in self._listeners:
            try:
                listener(what)
            except Exception:
                logger.exception("listener failed", listener=repr(listener))


class Runtime:
    """The surroundings of the services of one process of one tier."""

    def __init__(
        self,
        settings: TierSettings,
        log: Log[Event],
        bus: Bus,
        connection: Signal[bool],
        server: NatsServer | None = None,
        credentials: Credentials | None = None,
        trust: Trust | None = None,
        begin: Route | None = None,
        relay: ByteRelay | None = None,
    ) -> None:
        self.settings = settings
        self.path = settings.path
        self.depth = paths.depth(paths.Path(settings.path))
        self.log = log
        self.bus = bus
        #: This tier's NATS server, where it is this process that may move it, and where others attach to it:
        #: host:port, or "" if nobody can.
        self.server = server if server is not None and server.is_ours and not settings.joins else None
        self.leaf = self.server.announced if self.server is not None else ""
        #: Who this tier is to others, and whom it lets in; None where all share a password.
        self.credentials = credentials
        #: Whom it believes; None where it has no credentials, and believes everybody who could log in.
        self.trust = trust
        #: The way up by which it begins, what passes the links of siblings on to its parent and where they reach that
        #: (host:port, or ""), and the sibling that passes its own link on, if one does.
        self.begin = begin
        self.relay = relay
        self.relay_address = relay_address(settings, relay)
        self.via: str | None = None
        self.clock = Clock(self.path)
        #: What services tell at `/metrics`.
        self.metrics = Metrics()
        #: Tells when the connection to this tier's server is lost (False) and back (True).
        self.connection = connection
        #: New with every start: tells two living clusters with one path apart.
        self.instance = new_id()
        #: Mail for this cluster whose turn has come; uncommitted, but its place in the log is certain.
        self.mail: Signal[Mail] = Signal()
        #: Events of this cluster's own that its log had lost, when an ancestor has given them back.
        self.returned: Signal[list[Event]] = Signal()
        #: Set when this cluster may execute: a log that was lost is back, as far as anybody has it.
        self.history = asyncio.Event()
        #: What the marker outside the log says that is not in it.
        self.lost: Mark | None = None
        #: Events of this cluster and of those below, as they are committed here or pass by.
        self.observed: Signal[list[Event]] = Signal()
        # A root answers to nobody, and who joins a tier that is up leaves that to it.
        standing = Standing.NEW if self.depth and not settings.joins else Standing.ADMITTED
        self.outbox = Outbox(bus, self.path, standing)
        #: How often positions were moved without new events, because what they wait for was compacted away.
        self.skips = 0
        #: Why the log could not be written when that was last tried.
        self.trouble: str | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        log.on_commit(self._publish)

    def _publish(self, events: list[Event]) -> None:
        try:
            self.outbox.publish(events)
        finally:
            # Whatever became of what was sent, this cluster goes on with its own.
            self.observed.emit(events)

    async def commit(self, op: Callable[[Tx[Event]], T], *, settled: bool = False) -> T:
        """Writes what a user asked for; `settled`: over all that came before, also copies that were put aside.
        Unavailable if the log can not be written: nothing of it happened."""
        try:
            if settled:
                await self.log.flush()
            return await self.log.write(op)
        except StoreError as error:
            raise self._unwritten(error) from error

    async def catch_up(self) -> None:
        """Returns when all that came before is in the log, also copies that were put aside. Unavailable if it can not
        be written."""
        try:
            await self.log.flush()
        except StoreError as error:
            raise self._unwritten(error) from error

    def _unwritten(self, error: StoreError) -> Unavailable:
        self.trouble = str(error)
        hint = f"{error.hint}; " if error.hint else ""
        return Unavailable(str(error), hint=f"{hint}what was accepted before is safe")

    async def look(self, query: Callable[[Reader[Event]], T]) -> T:
        """The answer to what a person asks, over all that was done before. When the log can not be written it is
        over what is committed, and may be behind; `trouble` says why."""
        try:
            await self.log.flush()
            if self.trouble is not None:
                await self.log.write(self._try)
            self.trouble = None
        except StoreError as error:
            self.trouble = str(error)
        return await self.log.read(query, stale=True)

    def _try(self, tx: Tx[Event]) -> None:
        """Writes something of no consequence: a flush that has nothing to write says nothing of the disk."""
        tx.confirm(self.path, {Stream(self.path, tx.epoch): 0})

    def append_later(self, draft: Draft) -> None:
        """Appends an event of this tier's own when it suits; a failure is logged."""
        future = self.log.write(lambda tx: tx.append(draft), aside=True)
        future.add_done_callback(lambda done: _report(done, draft.type))

    def spawn(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """A named task that is kept until it ends; an error is logged."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("task failed", task=task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Ends what was spawned."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _report(done: asyncio.Future[Any], what: str) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        logger.error("the log refused a write", what=what, error=str(error))

"""The guard: of what comes in, only what its source said goes on.

Every way by which an event comes in leads past it: push from above and below, and repair. What cannot be judged yet,
because its source's key is not known, is left out and comes again by repair. What does not verify is put aside in the
quarantine and told, but not more often than a person can read: whoever floods a tier with forgeries fills neither
its disk nor the links above it. A tier without credentials lets all pass.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from bus import subjects
from bus.event import Draft, Event
from bus.types import REJECTED
from services.controller.delivery import lives
from services.controller.keyring import TOLD, Fault, KeyRing
from services.tier.runtime import Runtime
from services.tier.trust import spoken
from store.api import Tx

logger = structlog.get_logger()

#: Seconds in which what one source sends for one reason is told once, and how many of it are put aside.
QUIET, KEPT = 60.0, 10
#: Sources and reasons of which that is remembered.
REMEMBERED = 10_000


@dataclass(slots=True)
class _Said:
    """When it was told last (monotonic), and how many came since."""

    told: float
    count: int = 0


class Guard:
    """Looks at events before they come near the log."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._ring = KeyRing(runtime.trust.roots) if runtime.trust is not None else None
        self._said: dict[tuple[str, Fault], _Said] = {}
        #: How many events were not believed, for each reason.
        self.rejected: Counter[Fault] = Counter()

    async def start(self) -> None:
        """Takes up what the log tells of keys. A log that was written without one begins a life: what is still to be
        done is said again, signed, and no target need believe what is not."""
        trust = self._runtime.trust
        if trust is None or self._ring is None:
            return
        if trust.before is None:
            trust = trust.begun(await self._runtime.log.read(lambda reader: spoken(reader, self._runtime.path)))
            self._ring = KeyRing(trust.roots)
        if self._runtime.log.epoch in (trust.before or ()):
            await self._runtime.log.write(lambda tx: lives.renew(tx, tx.epoch, lives.SIGNED))
        self._ring.load(await self._runtime.log.read(lambda reader: reader.keys(self._runtime.path)))
        self._runtime.observed.connect(self._on_own)

    def believed(self, events: Iterable[Event], origin: str) -> list[Event]:
        """Those that are what their source said; `origin` says where they came from."""
        ring = self._ring
        if ring is None:
            return list(events)
        good = []
        for event in events:
            fault = ring.judge(event)
            if fault is not None:
                self._reject(event, fault, origin)
                continue
            good.append(event)
            if event.type in TOLD:
                self._learn(event)
        return good

    def _on_own(self, events: list[Event]) -> None:
        for event in events:
            if event.type in TOLD and event.source == self._runtime.path:
                self._learn(event)

    def _learn(self, event: Event) -> None:
        if self._ring is not None:
            self._ring.learn(event)
            self._said.pop((str(event.data.get("path")), "unknown"), None)

    def _reject(self, event: Event, fault: Fault, origin: str) -> None:
        self.rejected[fault] += 1
        now = time.monotonic()
        if (said := self._said.get((event.source, fault))) is None:
            if len(self._said) >= REMEMBERED:
                self._said.clear()
            # In a tree that grows the first words of a cluster may be here before the word on its key.
            said = self._said[(event.source, fault)] = _Said(now if fault == "unknown" else -math.inf)
        said.count += 1
        is_quiet = now - said.told < QUIET
        if is_quiet and (fault == "unknown" or said.count > KEPT):
            return
        report = None if is_quiet else self._report(event, fault, origin, said.count)
        if report is not None:
            said.told, said.count = math.inf if fault == "unknown" else now, 0
            logger.error("events are not believed", reason=fault, source=event.source, id=event.id, origin=origin)
        self._put_aside(event, fault, report)

    def _put_aside(self, event: Event, fault: Fault, report: Draft | None) -> None:
        def op(tx: Tx[Event]) -> None:
            # What nobody can judge may be good, and comes again.
            is_new = fault == "unknown" or bool(tx.quarantine([event]))
            if is_new and report is not None:
                tx.append(report)

        self._runtime.log.write(op, aside=True).add_done_callback(_told)

    def _report(self, event: Event, fault: Fault, origin: str, count: int) -> Draft:
        place = {"id": event.id, "source": event.source, "epoch": event.epoch, "seq": event.seq, "type": event.type}
        data = {**place, "reason": fault, "origin": origin[:200], "count": count}
        return Draft(REJECTED, subjects.event(REJECTED, self._runtime.path), data)


def _told(done: asyncio.Future[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        logger.error("what is not believed was not put aside", error=str(error))

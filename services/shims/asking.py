"""What the host asks of a shim outside the log: so much at once, again where that is safe, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog

from bus.errors import Unavailable
from bus.event import Event, format_time, parse_time
from services.shims.base import Answer, Request, ShimError
from services.shims.job import Job
from services.tier.clock import Clock

logger = structlog.get_logger()

#: A command without a time to live may run this long before the host stops waiting for its shim (seconds).
PATIENCE = 600.0
#: A shim that nobody runs is tried again after this long, later more rarely (seconds).
RETRY_FIRST, RETRY_LAST = 0.2, 5.0
#: Commands that one shim is asked to carry out at once.
AT_ONCE = 64


class Asking:
    """The shims of these kinds, asked in the name of the cluster `me`."""

    def __init__(self, clock: Clock, me: str, kinds: Iterable[str]) -> None:
        self._clock = clock
        self._me = me
        self._rooms = {kind: asyncio.Semaphore(AT_ONCE) for kind in kinds}

    @asynccontextmanager
    async def room(self, job: Job) -> AsyncIterator[None]:
        """Within, the shim has room for the command. What waits for it has not begun, and can be withdrawn."""
        job.idle = not job.resumed
        async with self._rooms[job.shim.kind]:
            job.idle = False
            yield

    def expired(self, event: Event) -> bool:
        """Whether it is too late to begin: by the clock of its origin."""
        if event.expiresat is None:
            return False
        return self._clock.now_at(event.source) >= parse_time(event.expiresat)

    def request(self, job: Job) -> Request:
        """What the shim is asked: its deadline is the command's, else a long one."""
        do = job.event.data["do"]
        now = self._clock.now_at(self._me)
        deadline = format_time(now + timedelta(seconds=PATIENCE))
        if job.event.expiresat is not None:
            # The shim reads this cluster's clock.
            left = parse_time(job.event.expiresat) - self._clock.now_at(job.event.source)
            deadline = min(deadline, format_time(now + left))
        return Request(job.command, job.attempt, do["verb"], do.get("args") or {}, deadline)

    async def answer(self, job: Job) -> Answer | None:
        """The shim's answer; None if nobody can know whether it has been done."""
        request = self.request(job)
        pause = RETRY_FIRST
        while True:
            try:
                return await job.shim.execute(request)  # type: ignore[union-attr]
            except Unavailable as error:
                unrun = bool(getattr(error, "no_responders", False))
                if not unrun and not job.repeatable:
                    return None
                job.may_be_done = job.may_be_done or not unrun
                if self.expired(job.event):
                    return None if job.may_be_done else Answer(False, error=ShimError("unavailable", error.message))
                job.idle = not job.may_be_done
                await asyncio.sleep(pause)
                job.idle = False
                pause = min(pause * 2, RETRY_LAST)
                job.attempt += not unrun
                request = self.request(job)
            except Exception as error:
                logger.exception("shim failed", kind=job.shim.kind, command=job.command)
                return Answer.failed("shim-error", f"the shim {job.shim.kind} failed: {error}")

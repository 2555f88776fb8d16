"""The child's side of admission: keeps this tier's credentials good, and up to date with what its parent knows."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from bus import join_messages as m
from bus import paths, subjects
from bus.client import Message
from bus.errors import OteError, Refused, Unavailable
from bus.event import format_time
from bus.types import ROTATED
from leafnodes.credentials.joining import Token
from leafnodes.credentials.tier import Credentials
from services.controller.asker import Asker
from services.tier import joining
from services.tier.runtime import Runtime
from services.tier.trust import trust_in

logger = structlog.get_logger()

#: Between two looks whether something is due, and two attempts to have it (seconds).
LOOK, RETRY = 0.5, 2.0


class Keeper:
    """Asks the parent when a credential is in the last fifth of its life, when the parent says that there is something
    new, when the link is back, and when somebody wants it."""

    def __init__(self, runtime: Runtime, credentials: Credentials, asker: Asker) -> None:
        self._runtime = runtime
        self._credentials = credentials
        self._asker = asker
        self._news = True
        self._afresh = False
        self._ups = 0
        self._hosts = False
        self._wake = asyncio.Event()
        self._busy = asyncio.Lock()

    async def start(self) -> None:
        """Listens to the parent."""
        if self._asker.links:
            await self._runtime.bus.subscribe(subjects.wake(self._runtime.path), self._on_wake)

    def _on_wake(self, message: Message) -> None:
        if message.data == subjects.CREDENTIALS:
            self._news = True
            self._wake.set()

    async def run(self) -> None:
        """Works for ever; a root has nobody to ask."""
        if not self._asker.links:
            return
        following = asyncio.create_task(self._follow(), name="follow rotations")
        try:
            while True:
                pause = LOOK
                if self._is_needed() and not await self._renew():
                    pause = RETRY
                self._wake.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
        finally:
            following.cancel()

    async def _follow(self) -> None:
        """`ote rotate` is a command to the shim `tier`, which leaves its word in the log."""
        after = await self._runtime.log.read(lambda reader: reader.last_row())
        async for _ in self._runtime.log.follow(after=after, types=(ROTATED,)):
            self._afresh = True
            self._wake.set()

    def _is_needed(self) -> bool:
        parent = self._asker.links[0]
        is_back = parent.state == "up" and parent.ups != self._ups
        hosts = bool(self._credentials.state.children)
        return self._news or self._afresh or is_back or hosts != self._hosts or self._credentials.due

    async def _renew(self) -> bool:
        """Whether the parent answered."""
        ups, hosts, afresh = self._asker.links[0].ups, bool(self._credentials.state.children), self._afresh
        self._news = False
        async with self._busy:
            try:
                trust = trust_in(self._runtime.settings.state)
                before = trust.before if trust is not None else None
                given = await joining.ask(self._runtime.bus, self._credentials, before=before)
            except OteError as error:
                logger.debug("no new credentials", error=error.message)
                self._news = True
                return False
            if given.state != "admitted":
                logger.error("the parent gives no credentials", reason=given.why)
                return False
            self._ups, self._hosts = ups, hosts
            self._afresh = self._afresh and not afresh
            if self._credentials.adopt(given, afresh=afresh) and self._runtime.server is not None:
                await self._take()
        return True

    async def _take(self) -> None:
        assert self._runtime.server is not None
        try:
            await self._runtime.server.refresh()
        except Unavailable as error:
            # The files are there: it takes them when it is started again, or its link is made anew.
            logger.error("the server did not take the new credentials", error=error.message)

    async def rejoin(self, request: m.RejoinRequest) -> m.RejoinAnswer:
        """Is admitted again, by a new token."""
        server = self._runtime.server
        if server is None or not paths.depth(paths.Path(self._runtime.path)):
            raise Refused("a root, or a tier with a server that is not its own, does not join")
        token = Token.parse(request.token)
        async with self._busy:
            await joining.rejoin(server, self._credentials, token)
        end = self._credentials.expires
        expires = format_time(datetime.fromtimestamp(end, UTC)) if end is not None else None
        return m.RejoinAnswer(path=self._runtime.path, expires=expires)

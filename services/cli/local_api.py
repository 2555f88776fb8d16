"""The local API of a tier (`ote.local.>`) as the commands use it: one method a question, pages joined."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import structlog

from bus import subjects
from bus.client import Bus, NoAnswer
from bus.credential import Credential
from bus.errors import Unavailable
from services.cli.options import ALL, Common, Paging
from services.cli.where import place

Answer = dict[str, Any]

#: Seconds that a tier has for an answer, beyond what it was asked to wait.
TIMEOUT = 10.0
#: Seconds for an answer that takes a look at the past of many clusters.
LONG = 300.0
#: Seconds for the first connection.
PATIENCE = 2.0
#: Rows a page: an answer stays far below a message's limit also when every target has a result.
PAGE = 200


class Caller(Protocol):
    """Who asks a service and gets its answer: the bus. `user` is as whom, where the tier knows its users."""

    @property
    def user(self) -> str | None: ...

    async def call(self, subject: str, body: Mapping[str, Any], *, timeout: float) -> Answer: ...


class LocalApi:
    """Raises the OteError that the tier answered, Unavailable when it did not."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def ask(self, what: str, request: Mapping[str, Any] | None = None, *, timeout: float = TIMEOUT) -> Answer:
        """The answer of `ote.local.<what>`; fields that are None are left out."""
        body = {name: value for name, value in (request or {}).items() if value is not None}
        user = self._caller.user
        if user is not None:
            # The tier says who it was.
            body.pop("actor", None)
        subject = subjects.local(what) if user is None else subjects.local_as(user, what)
        try:
            return await self._caller.call(subject, body, timeout=timeout)
        except NoAnswer as error:
            if error.no_responders:
                raise Unavailable(
                    "a NATS server is there, but no tier on it",
                    hint="start the tier again, on its --state; ote doctor --state DIR says why it ended",
                ) from None
            raise

    async def command(self, id: str, *, after: str | None = None, wait: float | None = None) -> Answer:
        """One page of a command's targets; with `wait` (seconds) the answer comes when something has changed,
        all targets are final, or the time is over."""
        request = {"id": id, "limit": PAGE, "after": after, "wait": wait}
        return await self.ask("command", request, timeout=TIMEOUT + (wait or 0))

    async def whole_command(self, id: str) -> Answer:
        """A command with all its targets."""
        whole = page = await self.command(id)
        while page.get("next"):
            page = await self.command(id, after=page["next"])
            whole["targets"].update(page["targets"])
            whole["summary"] = page["summary"]
        whole.pop("next", None)
        return whole

    async def clusters(self, select: str | None = None) -> list[Answer]:
        """All clusters, or those that a selector names."""
        return (await self.listed("clusters", {"select": select}))[0]

    async def resolved(self, select: str, shim: str | None) -> list[str]:
        """The paths that a command with this selector, for this shim, would go to."""
        return (await self.listed("resolve_selector", {"select": select, "shim": shim}, rows="targets"))[0]

    async def asked(
        self, to: str, do: Mapping[str, Any], timeout: float, told: Callable[[Answer], None] = lambda _: None
    ) -> Answer:
        """What all selected clusters say live; `told` hears how far it is, page by page."""
        request = {"to": to, "do": do, "timeout": timeout, "limit": PAGE}
        whole = page = await self.ask("ask", request, timeout=TIMEOUT + timeout)
        while page.get("next"):
            told(whole)
            page = await self.ask("ask", {**request, "after": page["next"]}, timeout=TIMEOUT + timeout)
            whole["answers"].update(page["answers"])
            whole["missing"].update(page["missing"])
        whole.pop("next", None)
        return whole

    async def why(self, asked: Mapping[str, Any]) -> list[Answer]:
        """The objects that are meant, each with its changes and their causes."""
        return (await self.listed("why", asked, rows="objects"))[0]

    async def undo_plan(self, request: Mapping[str, Any]) -> Answer:
        """What undo would do, for all targets."""
        whole = page = await self.ask("undo", {**request, "dry_run": True, "limit": PAGE}, timeout=LONG)
        while page.get("next"):
            asked = {**request, "dry_run": True, "limit": PAGE, "after": page["next"]}
            page = await self.ask("undo", asked, timeout=LONG)
            whole["targets"].update(page["targets"])
        whole.pop("next", None)
        return whole

    async def undo(self, request: Mapping[str, Any]) -> Answer:
        """Undoes it."""
        return await self.ask("undo", {**request, "limit": PAGE}, timeout=LONG)

    async def listed(
        self, what: str, request: Mapping[str, Any], paging: Paging = ALL, *, rows: str | None = None
    ) -> tuple[list[Any], str | None]:
        """The rows of a list (under the name `rows` in its answers, `what` if not given), page by page, and where
        to go on if there are more."""
        found: list[Any] = []
        after = paging.after
        while True:
            size = PAGE if paging.limit is None else min(PAGE, paging.limit - len(found))
            page = await self.ask(what, {**request, "limit": size, "after": after})
            found += page[rows or what]
            after = page.get("next")
            if after is None or len(found) == paging.limit:
                return found, after


@asynccontextmanager
async def connected(common: Common) -> AsyncIterator[Bus]:
    """A connection to the tier that the options name. Unavailable if there is none."""
    _log_to_stderr()
    found = place(common)
    credential = Credential.load(found.creds) if found.creds is not None else None
    async with await Bus.connect(found.url, name="ote", credential=credential, patience=PATIENCE) as bus:
        yield bus


def _log_to_stderr() -> None:
    """What the bus logs is no answer: stdout is for what was asked."""
    level = logging.DEBUG if os.environ.get("OTE_DEBUG") else logging.CRITICAL
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@asynccontextmanager
async def local_api(common: Common) -> AsyncIterator[LocalApi]:
    """The local API of the tier that the options name."""
    async with connected(common) as bus:
        yield LocalApi(bus)

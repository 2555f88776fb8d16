"""Waits for what becomes of commands, from the events as they pass: before they are committed here.

A final is durable where it was written before it travels, so that whoever waits is told at once; this
tier's own copy is committed when it suits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from bus.event import Event, now
from bus.types import FINALS, RECEIVED, STARTED, STORED

#: The receipt that each event gives at its time.
_RECEIPTS = {RECEIVED: "delivered", STARTED: "started"}
_STATES = {RECEIVED: "received", STARTED: "started"}


def error_in(said: Any) -> dict[str, Any] | None:
    """What a target says of its failure, as the local API tells it."""
    if said is None:
        return None
    error = dict(said) if isinstance(said, Mapping) else {"message": str(said)}
    return error | {"code": str(error.get("code", "failed")), "message": str(error.get("message", "no reason given"))}


@dataclass(slots=True)
class Progress:
    """What was seen of one target, in the shape of `ote.local.command`."""

    number: int
    state: str = "accepted"
    receipts: dict[str, Any] = field(default_factory=dict)
    result: Any = None
    error: dict[str, Any] | None = None

    @property
    def final(self) -> bool:
        """Whether the target has said its last word (or that it is in doubt)."""
        return self.state in FINALS.values()

    def see(self, event: Event) -> None:
        """Takes in what the target said."""
        if (state := FINALS.get(event.type)) is not None:
            if self.final and self.state != "in-doubt":
                return
            self.state = state
            self.receipts |= {"executed": event.time, "observed": now()}
            self.result, self.error = event.data.get("result"), error_in(event.data.get("error"))
        elif (receipt := _RECEIPTS.get(event.type)) is not None:
            self.receipts.setdefault(receipt, event.time)
            if not self.final and self.state != "started":
                self.state = _STATES[event.type]

    def answer(self) -> dict[str, Any]:
        """`{"state", "number", "receipts", "result"?, "error"?}`."""
        out: dict[str, Any] = {"state": self.state, "number": self.number, "receipts": self.receipts}
        if self.result is not None:
            out["result"] = self.result
        if self.error is not None:
            out["error"] = self.error
        return out


class Watch:
    """One wait for one command. It listens from the moment it is made, and counts once it is armed with
    the targets."""

    def __init__(self) -> None:
        self.targets: dict[str, Progress] = {}
        self.changed = asyncio.Event()
        self._early: list[Event] | None = []
        self._missing = 0
        self._done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def arm(self, targets: dict[str, Progress]) -> None:
        """These are the targets, as far as the log knew; what was seen meanwhile is added."""
        self.targets = targets
        self._missing = sum(not progress.final for progress in targets.values())
        early, self._early = self._early or [], None
        for event in early:
            self.see(event)
        self._settle()

    def see(self, event: Event) -> None:
        """Takes in an event about this command."""
        if self._early is not None:
            self._early.append(event)
        elif event.type == STORED:
            self._stored(event)
        elif (progress := self.targets.get(event.source)) is not None:
            was = progress.final
            progress.see(event)
            self._missing -= progress.final and not was
            self._settle()
        self.changed.set()

    def _settle(self) -> None:
        if not self._missing:
            self._end(True)

    def _end(self, all_final: bool) -> None:
        if not self._done.done():
            self._done.set_result(all_final)

    def _stored(self, event: Event) -> None:
        below = event.source + "."
        for path, progress in self.targets.items():
            if path.startswith(below):
                progress.receipts.setdefault("stored", {}).setdefault(event.source, event.time)

    async def done(self, timeout: float) -> bool:
        """True when all targets have a final; False when time is up. To be awaited once."""
        timer = asyncio.get_running_loop().call_later(timeout, self._end, False)
        try:
            return await self._done
        finally:
            timer.cancel()

    async def moved(self, timeout: float) -> None:
        """Returns when something changed, or time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.changed.wait()


class Tracker:
    """Tells watches what passes."""

    def __init__(self) -> None:
        self._watches: dict[str, list[Watch]] = {}

    def see(self, events: Iterable[Event]) -> None:
        """Looks through events for what somebody waits for."""
        if not self._watches:
            return
        for event in events:
            commands = event.data.get("commands") if event.type == STORED else [event.data.get("command")]
            for command in commands if isinstance(commands, list) else ():
                for watch in self._watches.get(str(command), ()):
                    watch.see(event)

    def watch(self, command: str) -> Watch:
        """Begins to listen; end it with `forget`."""
        watch = Watch()
        self._watches.setdefault(command, []).append(watch)
        return watch

    def forget(self, command: str, watch: Watch) -> None:
        """Ends a wait."""
        watches = self._watches[command]
        watches.remove(watch)
        if not watches:
            del self._watches[command]

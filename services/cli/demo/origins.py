"""A tier that submits commands, also while its process is gone: a command is offered, under one id, until it is
accepted, and so is recorded once however often it was offered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bus import paths
from bus.client import Bus
from bus.errors import NotFound, OteError, Unavailable
from bus.event import new_id
from services.cli.exits import FINAL
from services.cli.local_api import Answer, LocalApi
from services.cli.manifests import Manifest

#: Seconds: how long a tier may be away; between offers; a poll for results.
PATIENCE, PAUSE, POLL = 30.0, 0.1, 1.0


class Origin:
    """The tier at `path`. `accepted` holds each command that it took, with its targets, in order."""

    def __init__(self, path: str, bus: Bus) -> None:
        self.path = path
        self.api = LocalApi(bus)
        self.accepted: dict[str, Sequence[str]] = {}
        self.offered_again = 0

    async def apply(self, to: str, manifests: Sequence[Manifest]) -> str:
        """Submits one command; its id, once it is recorded."""
        id = new_id()
        do = {"verb": "apply", "args": {"manifests": list(manifests)}}
        request = {"to": to, "do": do, "id": id, "actor": f"demo@{self.path}"}
        end = time.monotonic() + PATIENCE
        while True:
            try:
                answer = await self.api.ask("submit", request, timeout=5)
            except Unavailable:
                if time.monotonic() > end:
                    raise
                self.offered_again += 1
                await asyncio.sleep(PAUSE)
            else:
                self.accepted[id] = tuple(answer["targets"])
                return id

    async def ask(self, what: str, **request: Any) -> Answer | None:
        """An answer of its local API; None while it is away, or does not know of it yet."""
        try:
            return await self.api.ask(what, request)
        except (Unavailable, NotFound):
            return None

    async def finished(self, ids: Sequence[str]) -> None:
        """Returns when these commands have ended at every target. OteError names the first that does not."""
        end = time.monotonic() + PATIENCE
        for id in ids:
            while True:
                answer = await self.ask("command", id=id, wait=POLL, limit=1)
                open = {state for state in answer["summary"] if state not in FINAL} if answer else {"unknown"}
                if not open:
                    break
                await asyncio.sleep(0 if answer else PAUSE)
                if time.monotonic() > end:
                    raise OteError(f"command {id} at {self.path} is still {', '.join(open)} after {PATIENCE:g} s")

    async def receipts(self, id: str, patience: float) -> Mapping[str, Any]:
        """The targets of a command, once every tier on the way has said that it stored it, or time is up."""
        end = time.monotonic() + patience
        while True:
            targets: Mapping[str, Any] = (await self.api.whole_command(id))["targets"]
            stored = {path: target["receipts"].get("stored") or {} for path, target in targets.items()}
            if all(self._on_way(path) <= stored[path].keys() for path in targets) or time.monotonic() > end:
                return targets
            await asyncio.sleep(PAUSE)

    def _on_way(self, target: str) -> set[str]:
        return {str(path) for path in paths.ancestors(target) if paths.is_under(path, self.path)} - {self.path}

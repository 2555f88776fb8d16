"""The local API of a tier as tests ask it, and what they send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bus import subjects
from bus.client import Bus
from bus.credential import Credential
from bus.types import ALTERNATES, OBSERVED
from tests.support import eventually

FINAL = {"succeeded", "failed", "expired", "superseded", "cancelled", "in-doubt", "refused"}

LATER = (OBSERVED, ALTERNATES)

Answer = dict[str, Any]


class Api:
    """The local API of a tier, asked over a connection of its own."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._bus: Bus | None = None

    @property
    def bus(self) -> Bus:
        """A client's connection to this tier's server."""
        assert self._bus is not None, f"{self.path} is not up"
        return self._bus

    async def ask(self, name: str, body: Mapping[str, Any] | None = None, *, timeout: float = 20.0) -> Answer:
        """The answer of `ote.local.<name>`, or the OteError that it answered."""
        return await self.bus.call(subjects.local(name), body or {}, timeout=timeout)

    async def submit(self, to: str, do: Mapping[str, Any] | str, **more: Any) -> Answer:
        """Submits; `do` may be the name of a configuration to apply."""
        body = {"to": to, "do": config(do) if isinstance(do, str) else do, **more}
        return await self.ask("submit", body, timeout=30.0 + more.get("wait", 0.0))

    async def command(self, id: str, **more: Any) -> Answer:
        return await self.ask("command", {"id": id, **more}, timeout=30.0 + more.get("wait", 0.0))

    async def target(self, id: str, path: str) -> Answer:
        """One target of a command."""
        targets: dict[str, Answer] = (await self.command(id))["targets"]
        return targets[path]

    async def done(self, id: str, deadline: float = 30.0) -> Answer:
        """The command once every target is final."""

        async def all_final() -> Answer | None:
            answer = await self.command(id)
            return answer if set(answer["summary"]) <= FINAL else None

        return await eventually(all_final, deadline, what=f"{id} is final at {self.path}") or {}

    async def becomes(self, id: str, path: str, state: str, deadline: float = 30.0) -> Answer:
        """The target once this tier holds it to be in this state."""
        found: Answer = {}

        async def there() -> bool:
            found.clear()
            found.update(await self.target(id, path))
            assert found["state"] == state, found
            return True

        await eventually(there, deadline, what=f"{path} is {state} as {self.path} sees it")
        return found

    async def clusters(self, **request: Any) -> dict[str, Answer]:
        """The clusters of one page, by path."""
        return {row["path"]: row for row in (await self.ask("clusters", request))["clusters"]}

    async def sees(self, path: str, state: str, deadline: float = 30.0) -> Answer:
        """The cluster once this tier holds it to be in this state, and has heard from it who it is: what its parent
        says of it may come before."""

        async def there() -> Answer | None:
            row = (await self.clusters()).get(path)
            return row if row is not None and row["state"] == state and row["version"] is not None else None

        return await eventually(there, deadline, what=f"{self.path} sees {path} {state}") or {}

    async def log(self, **request: Any) -> list[Answer]:
        """All events of the log that fit. What clusters tell of their objects comes a moment after the commands that
        changed them, and what they learn of other tiers when those are there: both are left out unless they are
        asked for by their type."""
        events: list[Answer] = []
        after = 0
        while True:
            page = await self.ask("log", {"limit": 500, **request, "after": after})
            events += page["events"]
            if not page["events"]:
                return [event for event in events if "type" in request or event["type"] not in LATER]
            after = page["next"]

    async def told(self, kind: str, source: str) -> list[str]:
        """The commands of which this cluster says so (`received`, `succeeded`), in its order, each as often
        as it does: a log holds them as they came."""
        events = await self.log(type=f"ote.command.{kind}.v1", source=source)
        return [event["data"]["command"] for event in sorted(events, key=lambda event: int(event["seq"]))]

    async def tells(self, kind: str, source: str, commands: Sequence[str]) -> None:
        """Returns when the log holds that this cluster said so of exactly these, in this order."""

        async def all_told() -> bool:
            assert await self.told(kind, source) == list(commands)
            return True

        await eventually(all_told, what=f"{source} has said {kind}, as {self.path} knows")

    async def connect(self, url: str, creds: Path | None = None) -> None:
        credential = Credential.load(creds) if creds is not None else None
        self._bus = await Bus.connect(url, name=f"test of {self.path}", credential=credential)

    async def disconnect(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            await bus.close()


def config(name: str, **data: str) -> Answer:
    """Applies a ConfigMap."""
    metadata = {"name": name, "namespace": "default"}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    return {"verb": "apply", "args": {"manifest": manifest}}

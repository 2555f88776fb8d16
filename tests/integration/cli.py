"""For tests of the command line: `ote` as a process of its own, and a local API that a test can script."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from bus import messages, subjects
from bus.client import Bus
from bus.micro import Service
from leafnodes.ports import RANGE

REPO = Path(__file__).parents[2]
DEADLINE = 60.0

Answer = Mapping[str, Any]
Endpoint = Callable[[dict[str, Any]], Answer | Awaitable[Answer]]


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def yaml(self) -> Any:
        return yaml.safe_load(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Ote:
    """Runs `ote` in a directory, against a server."""

    def __init__(self, cwd: Path, server: str | None) -> None:
        self.cwd = cwd
        kept = {name: value for name, value in os.environ.items() if name == RANGE or not name.startswith("OTE_")}
        self.environ = {**kept, "PYTHONPATH": str(REPO), "NO_COLOR": "1", **({"OTE_SERVER": server} if server else {})}

    async def __call__(self, *words: str, stdin: str = "") -> Ran:
        process = await self.start(*words)
        async with asyncio.timeout(DEADLINE):
            out, err = await process.communicate(stdin.encode())
        return Ran(process.returncode or 0, out.decode(), err.decode())

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "services.cli", *words)
        return await asyncio.create_subprocess_exec(
            *command, cwd=self.cwd, env=self.environ, stdin=pipe, stdout=pipe, stderr=pipe
        )


REQUESTS: dict[str, type[BaseModel]] = {
    "ask": messages.AskRequest,
    "cancel": messages.CancelRequest,
    "clusters": messages.ClustersRequest,
    "command": messages.CommandRequest,
    "commands": messages.CommandsRequest,
    "log": messages.LogRequest,
    "resolve_selector": messages.ResolveSelectorRequest,
    "resolve": messages.ResolveRequest,
    "retry": messages.RetryRequest,
    "status": messages.StatusRequest,
    "submit": messages.SubmitRequest,
    "tag": messages.TagRequest,
}


@dataclass
class ScriptedApi:
    """Answers `ote.local.<name>` with what a test has put into `endpoints`, as a tier does: what is asked must be
    what the contract knows. Keeps what was asked."""

    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def of(self, name: str) -> list[dict[str, Any]]:
        return [body for asked, body in self.asked if asked == name]

    @asynccontextmanager
    async def serving(self, url: str) -> AsyncIterator[None]:
        async with await Bus.connect(url, name="scripted") as bus:
            service = Service(bus, "scripted", version="0.0.1")
            for name in self.endpoints:
                service.endpoint(name, subjects.local(name), REQUESTS[name], self._handler(name))
            await service.start()
            yield
            await service.stop(grace=0)

    def _handler(self, name: str) -> Callable[[BaseModel], Awaitable[Answer]]:
        async def handle(request: BaseModel) -> Answer:
            body = request.model_dump(by_alias=True, exclude_unset=True)
            self.asked.append((name, body))
            answer = self.endpoints[name](body)
            return answer if isinstance(answer, Mapping) else await answer

        return handle

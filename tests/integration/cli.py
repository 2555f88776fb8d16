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

from bus import subjects, wire
from bus.client import Bus, Message
from bus.errors import OteError

REPO = Path(__file__).parents[2]
DEADLINE = 20.0

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
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OTE_")}
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


@dataclass
class ScriptedApi:
    """Answers `ote.local.<name>` with what a test has put into `endpoints`; keeps what was asked."""

    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def of(self, name: str) -> list[dict[str, Any]]:
        return [body for asked, body in self.asked if asked == name]

    @asynccontextmanager
    async def serving(self, url: str) -> AsyncIterator[None]:
        tasks: set[asyncio.Task[None]] = set()

        def serve(name: str) -> Callable[[Message], object]:
            return lambda message: tasks.add(asyncio.create_task(self._answer(name, message)))

        async with await Bus.connect(url, name="scripted") as bus:
            for name in self.endpoints:
                await bus.subscribe(subjects.local(name), serve(name))
            await bus.flush()
            yield
        failed = [task.exception() for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        assert not any(failed), failed

    async def _answer(self, name: str, message: Message) -> None:
        body = wire.parse_body(message.data)
        self.asked.append((name, body))
        try:
            answer = self.endpoints[name](body)
            if not isinstance(answer, Mapping):
                answer = await answer
            message.respond(wire.dump_body(answer), wire.JSON_HEADERS)
        except OteError as error:
            headers = {"Nats-Service-Error": error.message, "Nats-Service-Error-Code": str(error.status)}
            message.respond(wire.dump_body(error.body()), headers)

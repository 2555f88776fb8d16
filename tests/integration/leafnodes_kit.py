"""Trees of real servers for the tests of the leaf links."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from bus.errors import Unavailable
from leafnodes.config import Tuning
from leafnodes.server import NatsServer
from tests.support import eventually

FAST = Tuning(ping_interval=0.5)


class Tree:
    """Servers and clients that are closed at the end of the test, the last first."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._open = AsyncExitStack()
        self._count = 0

    async def grow(
        self, path: str, parent: NatsServer | str | Sequence[str] | None = None, **options: Any
    ) -> NatsServer:
        """A running server, linked where its parent is one of the tree."""
        self._count += 1
        options.setdefault("state_dir", self.directory / f"{path}-{self._count}")
        options.setdefault("tuning", FAST)
        url = parent.leaf_url if isinstance(parent, NatsServer) else parent
        server = await self._open.enter_async_context(NatsServer(path=path, parent=url, **options))
        if isinstance(parent, NatsServer):
            await linked(server, parent)
        return server

    async def chain(self, *paths: str) -> list[NatsServer]:
        """Servers, each the parent of the next."""
        servers: list[NatsServer] = []
        for path in paths:
            servers.append(await self.grow(path, servers[-1] if servers else None))
        return servers

    async def client(self, server: NatsServer | str, **options: Any) -> Client:
        """A client that comes back by itself, and quickly."""
        url = server if isinstance(server, str) else server.client_url
        options = {"reconnect_time_wait": 0.05, "max_reconnect_attempts": -1, "error_cb": quiet} | options
        client = await nats.connect(url, **options)
        self._open.push_async_callback(client.close)
        return client

    async def enter(self, context: Any) -> Any:
        """Another thing to close at the end."""
        return await self._open.enter_async_context(context)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._open.aclose()

    async def watch(self, server: NatsServer) -> asyncio.Task[None]:
        """Watches over the server until the end of the test."""
        task = asyncio.create_task(server.watch(), name=f"watch {server.path}")

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._open.push_async_callback(end)
        return task


async def quiet(error: Exception) -> None:
    """Clients of a server that is killed have errors, and are expected to."""


async def is_linked(child: NatsServer, parent: NatsServer) -> bool:
    """Whether both ends say that the link is up."""
    try:
        below = [link.name for link in await child.leafz() if link.to_parent]
        above = [link.name for link in await parent.leafz() if not link.to_parent]
    except Unavailable:
        return False
    return parent.server_name in below and child.server_name in above


async def linked(child: NatsServer, parent: NatsServer, deadline: float = 30.0) -> None:
    """Returns when the link is up."""

    async def up() -> bool:
        return await is_linked(child, parent)

    await eventually(up, deadline, what=f"{child.server_name} is linked to {parent.server_name}")


async def answered(client: Client, subject: str, deadline: float = 30.0) -> bytes:
    """The answer to a request, as soon as there is a way for it."""

    async def ask() -> bytes | None:
        try:
            return bytes((await client.request(subject, b"", timeout=0.5)).data)
        except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
            return None

    answer = await eventually(ask, deadline, what=f"an answer on {subject}")
    assert answer is not None
    return answer


async def answer(client: Client, subject: str, text: str) -> None:
    """Answers requests on the subject."""

    async def reply(message: Msg) -> None:
        await message.respond(text.encode())

    await client.subscribe(subject, cb=reply)
    await client.flush()

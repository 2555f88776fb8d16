"""What a server says of itself and its links, read from its monitoring port."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bus.errors import Unavailable
from leafnodes.identity import path_of

M = TypeVar("M", bound=BaseModel)

TIMEOUT = 2.0
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def seconds(text: str) -> float:
    """Seconds of a duration as Go writes it: `1m2.5s`, `244µs`. 0 for the empty text of a link that
    has not been measured yet."""
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|us|µs|ns|h|m|s)", text))


class LeafLink(BaseModel):
    """One live leaf link. `name` is the other server's, `to_parent` says which end this is, `rtt` is
    in seconds; in and out are counted from this server."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    ip: str
    port: int
    to_parent: bool = Field(default=False, alias="is_spoke")
    rtt: Annotated[float, BeforeValidator(lambda value: seconds(str(value)))] = 0.0
    in_msgs: int = 0
    out_msgs: int = 0
    in_bytes: int = 0
    out_bytes: int = 0
    subscriptions: int = 0
    compression: str = "off"

    @property
    def path(self) -> str:
        """The cluster at the other end."""
        return path_of(self.name)


class LeafListener(BaseModel):
    """Where a server waits for its children."""

    model_config = ConfigDict(frozen=True)

    host: str = ""
    port: int = 0


class ServerInfo(BaseModel):
    """A server at one moment. `mem` is in bytes, `loaded` the time of the configuration it runs."""

    model_config = ConfigDict(frozen=True)

    server_id: str
    server_name: str
    version: str
    port: int
    leaf: LeafListener
    loaded: str = Field(alias="config_load_time")
    uptime: str = ""
    mem: int = 0
    connections: int = 0
    leafnodes: int = 0
    subscriptions: int = 0
    in_msgs: int = 0
    out_msgs: int = 0
    in_bytes: int = 0
    out_bytes: int = 0
    slow_consumers: int = 0


class _Leafz(BaseModel):
    leafs: list[LeafLink] = []


class Monitor:
    """Reads the monitoring port of a server on this host. Unavailable where nothing answers in time."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._host = host
        self._port = port

    async def varz(self) -> ServerInfo:
        """The server itself."""
        return self._parse(ServerInfo, await self._get("/varz"))

    async def leafz(self) -> list[LeafLink]:
        """The links that are up, to children and to the parent."""
        return self._parse(_Leafz, await self._get("/leafz")).leafs

    async def ready(self) -> bool:
        """Whether all ports of the server are open."""
        try:
            return bool(await self._get("/healthz") == {"status": "ok"})
        except Unavailable:
            return False

    def _parse(self, model: type[M], answer: object) -> M:
        try:
            return model.model_validate(answer)
        except ValidationError:
            raise Unavailable(f"what answers at {self._host}:{self._port} is no nats-server that we know") from None

    async def _get(self, path: str) -> Any:
        where = f"{self._host}:{self._port}{path}"
        try:
            async with asyncio.timeout(TIMEOUT):
                body = await self._fetch(path)
            return json.loads(body)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise Unavailable(f"the server does not answer at {where}: {str(error) or type(error).__name__}") from None

    async def _fetch(self, path: str) -> bytes:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            # HTTP/1.0: the body ends with the connection, and is never cut into chunks.
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {self._host}\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            return await reader.read(-1)
        finally:
            writer.transport.abort()

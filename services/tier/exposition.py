"""Serves `/metrics` over HTTP on the event loop: one answer a connection, and slow clients are let go."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from bus.errors import Unavailable
from leafnodes.auth import netloc
from leafnodes.ports import free_port
from services.tier.metrics import Metrics
from services.tier.settings import TierSettings

logger = structlog.get_logger()

PATH = "/metrics"
#: In the state directory: where this tier is scraped, as Prometheus' file_sd_configs read it.
TARGETS = "metrics.json"
#: Seconds and bytes that a request may take.
PATIENCE, LONGEST_HEAD = 10.0, 16_384
ATTEMPTS = 5

_PLAIN = "text/plain; charset=utf-8"
_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error"}
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@asynccontextmanager
async def exposed(metrics: Metrics, settings: TierSettings) -> AsyncIterator[None]:
    """Serves the metrics of this tier within the block, if it is to have any. Port 0 is a free one, and the same
    as before if that is free. Unavailable if it can not listen there."""
    targets, host = settings.state / TARGETS, settings.metrics_host
    if not settings.metrics:
        targets.unlink(missing_ok=True)
        yield
        return
    handler = _Handler(metrics)
    server, port = await _listen(handler, host, settings.metrics_port, _port_before(targets))
    metrics.url = f"http://{netloc(_WILDCARDS.get(host, host), port)}{PATH}"
    write_targets(targets, {settings.path: metrics.url})
    try:
        yield
    finally:
        metrics.url = None
        server.close()
        await handler.close()


async def _listen(handler: _Handler, host: str, port: int, before: int | None) -> tuple[asyncio.Server, int]:
    fixed = bool(port)
    port = port or before or free_port(host)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await asyncio.start_server(handler.serve, host, port, limit=LONGEST_HEAD), port
        except OSError as error:
            if fixed or error.errno != errno.EADDRINUSE or attempt == ATTEMPTS:
                raise _refused(host, port, error) from None
            port = free_port(host)
    raise AssertionError("not reached")


def _refused(host: str, port: int, error: OSError) -> Unavailable:
    return Unavailable(
        f"no metrics at {netloc(host, port)}: {error.strerror or error}",
        field="metrics_port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "metrics_host",
        hint="--metrics-port 0 takes a free port, --no-metrics does without",
    )


def _port_before(file: Path) -> int | None:
    try:
        return urlsplit(f"//{json.loads(file.read_text())[0]['targets'][0]}").port
    except (OSError, ValueError, LookupError, TypeError):
        return None


def write_targets(file: Path, urls: Mapping[str, str | None]) -> None:
    """Says where these tiers are scraped. The file outlives them: a tier that is down is one that does not answer."""
    targets = [{"targets": [urlsplit(url).netloc], "labels": {"tier": tier}} for tier, url in urls.items() if url]
    draft = file.with_suffix(".tmp")
    draft.write_text(json.dumps(targets) + "\n")
    draft.replace(file)


class _Handler:
    """Answers connections; `close` ends those that are open."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(await self._answer(await reader.readuntil(b"\r\n\r\n")))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            logger.debug("a scrape came to nothing", error=repr(error))
        finally:
            writer.transport.abort()
            self._open.discard(task)

    async def close(self) -> None:
        """Ends what is open."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _answer(self, head: bytes) -> bytes:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, *_ = (*first.split(" "), "", "")
        if method not in ("GET", "HEAD"):
            return _response(405, f"only GET {PATH}\n".encode(), "Allow: GET, HEAD")
        if target.partition("?")[0] != PATH:
            return _response(404, f"metrics are at {PATH}\n".encode())
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        compressed = "gzip" in headers.get("accept-encoding", "")
        try:
            kind, body = await self._metrics.page(headers.get("accept", ""), compressed=compressed)
        except Exception:
            logger.exception("no metrics")
            return _response(500, b"the log of this tier says why\n")
        more = ["Content-Encoding: gzip"] if compressed else []
        response = _response(200, body, *more, kind=kind)
        return response if method == "GET" else response[: -len(body)]


def _response(status: int, body: bytes, *headers: str, kind: str = _PLAIN) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body

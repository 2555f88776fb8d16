"""Runs a configuration: brings a server process up, finds one that was left, makes it reload."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import structlog

from bus.errors import Unavailable
from leafnodes.binary import find_binary
from leafnodes.config import ServerConfig, render
from leafnodes.files import LogFile, write_private
from leafnodes.monitor import Monitor
from leafnodes.process import Process

GRACE = 2.0
SOON, POLL = 0.001, 0.01
#: The server is asked whether it has reloaded only where its log does not say so for so long: of hundreds on one
#: machine that reload together, each answer would cost as much as the change itself (seconds).
ASK = 0.1
RELOADED = "Reloaded server configuration"
PORT_TAKEN = "address already in use"
REFUSED = "Failed to reload"

log = structlog.get_logger(__name__)


class PortTaken(Unavailable):
    """Another program listens on one of the ports."""


class Runner:
    """Brings configurations to life; the file of the configuration is the server's only argument.

    `timeout` is in seconds, for a start or a reload."""

    def __init__(self, config_file: Path, binary: str | Path | None, timeout: float) -> None:
        self._file = config_file
        self._binary = binary
        self._timeout = timeout

    async def launch(self, config: ServerConfig) -> Process:
        """A new process that accepts clients and children.

        NotFound without a program; PortTaken, or Unavailable with the last lines of its log."""
        binary = find_binary(self._binary)
        write_private(self._file, render(config), durable=False)
        output = LogFile(config.log_file)
        begin = output.end()
        try:
            process = Process.spawn([str(binary), "-c", str(self._file)], output.path)
        except OSError as error:
            raise Unavailable(f"{binary} cannot be run: {error.strerror}", field="binary") from None
        try:
            await self._ready(process, config, output, begin)
        except BaseException:
            await process.end(0)
            raise
        return process

    async def adopt(self, config: ServerConfig) -> Process | None:
        """The server that was left by an earlier life of this tier, now with this configuration.

        None if there is none; one that hangs, or that a reload cannot bring there, is ended."""
        process = Process.find(config.pid_file, self._file)
        if process is None:
            return None
        if await _answers(config):
            try:
                await self.reload(process, config)
            except Unavailable as error:
                log.warning("nats-server must be started anew", pid=process.pid, reason=error.message)
            else:
                return process
        await process.end(GRACE)
        return None

    async def reload(self, process: Process, config: ServerConfig) -> None:
        """Returns when the server runs with the configuration. If it refuses, the file is as before,
        and Unavailable says why."""
        monitor = Monitor(config.monitor_port)
        loaded = (await monitor.varz()).loaded
        before = self._file.read_text()
        output = LogFile(config.log_file)
        begin = output.end()
        write_private(self._file, render(config), durable=False)
        process.signal(signal.SIGHUP)
        try:
            async with asyncio.timeout(self._timeout):
                await _until_reloaded(monitor, loaded, output, begin)
        except TimeoutError:
            write_private(self._file, before, durable=False)
            raise Unavailable(f"nats-server did not reload within {self._timeout} s") from None
        except Unavailable:
            write_private(self._file, before, durable=False)
            raise

    async def _ready(self, process: Process, config: ServerConfig, output: LogFile, begin: int) -> None:
        hint = f"see {output.path}"
        ended = asyncio.create_task(process.gone(), name="nats-server ends")
        ready = asyncio.create_task(_until_ready(config), name="nats-server starts")
        try:
            await asyncio.wait((ended, ready), timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ended, ready):
                task.cancel()
            await asyncio.gather(ended, ready, return_exceptions=True)
        said = output.tail(begin)
        if not ended.cancelled():
            kind = PortTaken if PORT_TAKEN in output.since(begin) else Unavailable
            raise kind(f"nats-server ended at once:\n{said}", hint=hint)
        if ready.cancelled():
            raise Unavailable(f"nats-server was not ready within {self._timeout} s:\n{said}", hint=hint)
        ready.result()


async def _until_reloaded(monitor: Monitor, loaded: str, output: LogFile, begin: int) -> None:
    """Returns when the server says so; Unavailable if it refuses."""
    since = asked = time.monotonic()
    while RELOADED not in (said := output.since(begin)):
        if REFUSED in said:
            raise Unavailable(f"nats-server refused the change: {output.tail(begin)}")
        now = time.monotonic()
        if now - asked > ASK:
            asked = now
            if (await monitor.varz()).loaded != loaded:
                return
        await asyncio.sleep(min(POLL, max(SOON, (now - since) / 2)))


async def _until_ready(config: ServerConfig) -> None:
    monitor = Monitor(config.monitor_port)
    while not (await monitor.ready() and await _answers(config)):  # noqa: ASYNC110 - another process: it cannot wake us
        await asyncio.sleep(POLL)


async def _answers(config: ServerConfig) -> bool:
    """Whether the server that answers is the one of this configuration."""
    try:
        info = await Monitor(config.monitor_port).varz()
    except Unavailable:
        return False
    found = (info.server_name, info.port, info.leaf.port)
    return found == (config.server_name, config.client_port, config.leaf_port)

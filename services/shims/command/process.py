"""Runs one program: no shell, nothing to read, bounded output, and an end in time for it and its children."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

KEPT = 32 * 1024
"""Bytes that are kept of each output, of its beginning and of its end."""
_GRACE = 1.0
"""Seconds to wait for the rest of the output when the program has ended."""
_CHUNK = 64 * 1024
FIRST_LOOK, LAST_LOOK = 0.002, 0.1
"""Seconds between two looks whether a program has ended: the first ones, and those of one that takes its time."""
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")
"""What of this process's environment a program sees: no secret of the tier's."""


class Output:
    """The beginning and the end of what a program wrote."""

    def __init__(self) -> None:
        self.bytes = 0
        self._head = bytearray()
        self._tail = bytearray()

    def add(self, data: bytes) -> None:
        """It wrote this."""
        self.bytes += len(data)
        room = KEPT - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        del self._tail[:-KEPT]

    def text(self) -> str:
        """What was kept, with a word about what was not."""
        left_out = self.bytes - len(self._head) - len(self._tail)
        head, tail = (bytes(part).decode("utf-8", "replace") for part in (self._head, self._tail))
        return f"{head}\n... {left_out} bytes left out ...\n{tail}" if left_out else head + tail


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended: `exit` is its code, negative for the signal that ended it; `late`: its time was over."""

    exit: int
    late: bool
    seconds: float
    stdout: str
    stderr: str


async def run(words: Sequence[str], env: Mapping[str, str], timeout: float) -> Ended:
    """Runs it for at most `timeout` seconds. What it leaves running in its process group ends with it, also when this
    is cancelled. OSError if it can not be started."""
    begun = monotonic()
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    process = await _started(words, {**inherited, **env})
    outputs = Output(), Output()
    reading = [
        asyncio.create_task(_read(stream, output), name=f"output of {words[0]}")
        for stream, output in zip((process.stdout, process.stderr), outputs, strict=True)
        if stream is not None
    ]
    late = False
    try:
        try:
            async with asyncio.timeout(timeout):
                await _ended(process)
        except TimeoutError:
            late = True
        finally:
            _end_group(process.pid)
        exit = await _ended(process)
        # Whoever left the group may hold the pipes open for ever.
        await asyncio.wait(reading, timeout=_GRACE)
    finally:
        for task in reading:
            task.cancel()
    return Ended(exit, late, monotonic() - begun, outputs[0].text(), outputs[1].text())


async def _started(words: Sequence[str], env: Mapping[str, str]) -> asyncio.subprocess.Process:
    """In a process group of its own. Whoever gives up meanwhile must not leave it behind, half known."""
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=env,
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        process = await starting
        _end_group(process.pid)
        await _ended(process)
        raise


async def _ended(process: asyncio.subprocess.Process) -> int:
    """Its code, as soon as it has ended: `Process.wait` of Python 3.11 also waits for its pipes, which what it left
    running may hold."""
    pause = FIRST_LOOK
    while (exit := process.returncode) is None:
        await asyncio.sleep(pause)
        pause = min(2 * pause, LAST_LOOK)
    return exit


async def _read(stream: asyncio.StreamReader, output: Output) -> None:
    while data := await stream.read(_CHUNK):
        output.add(data)


def _end_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)

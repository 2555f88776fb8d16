"""A server process that outlives whoever started it, and is ended on purpose only.

It runs in a session of its own, so that Ctrl-C in a terminal reaches the tier alone, which then ends
it in order. It is known by its pid, because a tier that was killed finds its server again by that.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

POLL = 0.1


class Process:
    """A running process: one that was started here, or one that was found."""

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self.pid = pid
        self._child = child
        self._ended = False  # from then on the pid may be another's

    @classmethod
    def spawn(cls, command: Sequence[str], output: Path) -> Process:
        """Starts the command; what it prints is added to a file. OSError if it cannot run."""
        with open(output, "ab", opener=_private) as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, close_fds=True
            )
        return cls(child.pid, child)

    @classmethod
    def find(cls, pid_file: Path, argument: Path) -> Process | None:
        """The living process whose pid is in the file, None if there is none.

        A pid may belong to another program by now: where the system shows command lines (/proc), one
        without this argument is not ours."""
        try:
            pid = int(pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        found = cls(pid)
        return found if pid > 1 and found.alive() and _has_argument(pid, argument) else None

    def alive(self) -> bool:
        """False once it has ended, although its parent may not have asked for its status yet."""
        if self._ended:
            return False
        if self._child is not None:
            return self._child.poll() is None
        handle = _open(self.pid)
        if handle is None:
            return _exists(self.pid)
        try:
            return handle >= 0 and not select.select([handle], [], [], 0)[0]
        finally:
            _close(handle)

    async def gone(self) -> None:
        """Returns when the process has ended."""
        if self._ended:
            return
        handle = _open(self.pid)
        try:
            if handle is None:
                while self.alive():  # noqa: ASYNC110 - the system has nothing to wait on
                    await asyncio.sleep(POLL)
            elif handle >= 0:
                await _readable(handle)
        finally:
            _close(handle)
        self._ended = True
        if self._child is not None:
            self._child.wait()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal; nothing happens if the process has ended."""
        if self.alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    async def end(self, grace: float) -> None:
        """Ends the process: SIGTERM, and SIGKILL after `grace` seconds. Returns when it is gone; if
        cancelled, the process is killed all the same."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                await self.gone()
        except TimeoutError:
            pass
        finally:
            self.signal(signal.SIGKILL)
        await self.gone()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _open(pid: int) -> int | None:
    """A handle that turns readable when the process ends; -1 if it has, None if there are no handles here."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return -1
    except (AttributeError, OSError):
        return None


def _close(handle: int | None) -> None:
    if handle is not None and handle >= 0:
        os.close(handle)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def _readable(handle: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(handle)


def _has_argument(pid: int, argument: Path) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return not Path("/proc/self/cmdline").exists()
    return os.fsencode(argument) in words

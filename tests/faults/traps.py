"""Traps: what happens to a tier at an exact step of a command's life.

A trap is a file that the test lays into the state directory of a running tier; the runner looks at it at
every step that it has a name for. When the step is passed for the n-th time the trap goes off, and a
second file says so.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from secrets import token_hex

from leafnodes.process import Process

#: What a trap does: ends the process; ends its nats-server and the process; stops the process until
#: somebody lets it go on; leaves the step out.
KILL, KILL_ALL, STOP, SKIP = "kill", "kill-all", "stop", "skip"


@dataclass(frozen=True)
class Trap:
    """`step` is as `tests.faults.steps` names it, with `before` or `after` in front; `nth` counts from 1."""

    step: str
    action: str = KILL
    nth: int = 1
    id: str = field(default_factory=lambda: token_hex(8))

    def lay(self, state: Path) -> None:
        """Arms it in place of any other; the tier may be down."""
        draft = state / f"trap.{self.id}"
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(state / "trap.json")

    def went_off(self, state: Path) -> bool:
        """Whether it did what it was laid for."""
        return (state / f"sprung.{self.id}").exists()


def disarm(state: Path) -> None:
    """Takes up what was laid."""
    (state / "trap.json").unlink(missing_ok=True)


class Trapper:
    """The other side, in the tier's process: asked at every step, from any thread."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._file = state / "trap.json"
        self._trap: Trap | None = None
        self._seen = 0
        self._read_at: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def passed(self, *steps: str) -> bool:
        """False if the step is to be left out. Does not return from a trap that kills."""
        with self._lock:
            trap = self._current()
            if trap is None or trap.step not in steps:
                return True
            self._seen += 1
            if self._seen != trap.nth:
                return True
            (self._state / f"sprung.{trap.id}").touch()
        return self._spring(trap)

    def _current(self) -> Trap | None:
        try:
            found = self._file.stat()
        except FileNotFoundError:
            self._trap, self._read_at = None, None
            return None
        if (stamp := (found.st_ino, found.st_mtime_ns)) != self._read_at:
            try:
                self._trap = Trap(**json.loads(self._file.read_text()))
            except FileNotFoundError:
                return None
            self._read_at, self._seen = stamp, 0
            if self._trap.went_off(self._state):  # in an earlier life of this tier
                self._trap = None
        return self._trap

    def _spring(self, trap: Trap) -> bool:
        if trap.action == SKIP:
            return False
        if trap.action == STOP:
            os.kill(os.getpid(), signal.SIGSTOP)
            return True
        if trap.action == KILL_ALL:
            server = Process.find(self._state / "nats.pid", self._state / "nats.conf")
            if server is not None:
                server.signal(signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
        return True

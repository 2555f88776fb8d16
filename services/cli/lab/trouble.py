"""A step of the lab that failed, and the log that says why."""

from __future__ import annotations

from pathlib import Path

from bus.errors import Unavailable

TAIL = 12


class StepFailed(Unavailable):
    """Something did not start, or did not do as told; the hint names the log to read, `tail` are its last lines."""

    def __init__(self, message: str, log: Path) -> None:
        super().__init__(message, hint=f"read {log}")
        self.log = log
        self.tail = last_lines(log)


def last_lines(log: Path) -> list[str]:
    """The end of a log; nothing if there is none."""
    try:
        return log.read_text(errors="replace").splitlines()[-TAIL:]
    except OSError:
        return []

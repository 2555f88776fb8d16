"""A clock that is wrong: the whole of one process reads it, and a file in its state directory says by how much.

Only what tells the time of day is off. What measures durations goes on, as on a machine whose clock is set while it
runs.
"""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Self
from uuid import UUID

# Those that know the true datetime from C are there before it is replaced.
import msgpack  # noqa: F401
import pydantic_core  # noqa: F401
import sqlalchemy  # noqa: F401
import uuid_utils

NAME = "clock"


def step(state: Path, seconds: float) -> None:
    """Sets the clock of the process that uses this directory so much off the true time; it may be down."""
    draft = state / f"{NAME}.draft"
    draft.write_text(str(seconds))
    draft.replace(state / NAME)


def install(state: Path) -> None:
    """The other side: to be called in the process before anything takes the time from its modules."""
    _install(Offset(state / NAME))


class Offset:
    """How far off the clock is, in nanoseconds."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read_at: tuple[int, int] | None = None
        self._offset = 0

    def __call__(self) -> int:
        try:
            found = self._file.stat()
            if (stamp := (found.st_ino, found.st_mtime_ns)) != self._read_at:
                self._offset = round(float(self._file.read_text()) * 1e9)
                self._read_at = stamp
        except FileNotFoundError:
            self._offset = 0
        return self._offset


def _install(offset: Offset) -> None:
    true_ns, true_uuid = time.time_ns, uuid_utils.uuid7

    def time_ns() -> int:
        return true_ns() + offset()

    class Shifted(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Self:
            return super().now(tz) + datetime.timedelta(microseconds=offset() // 1000)

    def uuid7() -> UUID:
        # The first 48 bits are milliseconds.
        return UUID(int=true_uuid().int + (offset() // 1_000_000 << 80))

    time.time_ns, time.time = time_ns, lambda: time_ns() / 1e9
    datetime.datetime = Shifted
    uuid_utils.uuid7 = uuid7

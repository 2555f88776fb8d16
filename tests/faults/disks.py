"""A disk that is full, slow, or has lost its mind: what it does to the files of one tier.

Full is SQLite's view of it: no file of the process can grow. Slow is in the process itself
(`tests.faults.runner`): each commit takes longer. What is done to a file is done while nobody has it open.
"""

from __future__ import annotations

import os
import random
import resource
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import wraps
from pathlib import Path
from typing import Any

ENDS = ("", "-wal", "-shm")
#: Beyond this no file of a process without room can grow (bytes).
ROOM = 4096
SLOW = "slow"
#: A page in SQLite's write-ahead log: a header, and a page of the file (bytes).
FRAME = 24 + 4096


def fill(pid: int) -> None:
    """The disk is full, for this process."""
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (ROOM, most))


def make_room(pid: int) -> None:
    """There is room again."""
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))


def slow_down(state: Path, seconds: float) -> None:
    """Every commit takes so much longer from now on; 0: as long as it takes."""
    if not seconds:
        (state / SLOW).unlink(missing_ok=True)
        return
    draft = state / f"{SLOW}.draft"
    draft.write_text(str(seconds))
    draft.replace(state / SLOW)


def slowed(state: Path, commit: Callable[..., Any]) -> Callable[..., Any]:
    """The other side: `commit`, on this disk."""

    @wraps(commit)
    def late(*args: Any, **named: Any) -> Any:
        with suppress(FileNotFoundError):
            time.sleep(float((state / SLOW).read_text()))
        return commit(*args, **named)

    return late


def tear(log: Path, rng: random.Random) -> None:
    """The power went in the middle of a page that was being written behind the last commit."""
    wal = log.with_name(log.name + "-wal")
    if wal.exists() and (size := wal.stat().st_size) > FRAME:
        # A page that was begun: it looks like the one before it, as far as it goes.
        with wal.open("rb+") as file:
            file.seek(size - FRAME)
            begun = bytearray(file.read(rng.randrange(1, FRAME)))
            begun[rng.randrange(len(begun))] ^= 0xFF
            file.seek(size)
            file.write(begun)


def flip(log: Path, rng: random.Random) -> None:
    """One bit of the log is not what it was."""
    files = [file for end in ENDS[:2] if (file := log.with_name(log.name + end)).exists() and file.stat().st_size]
    file = rng.choice(files)
    with file.open("rb+") as opened:
        place = rng.randrange(file.stat().st_size)
        opened.seek(place)
        byte = opened.read(1)[0]
        opened.seek(place)
        opened.write(bytes([byte ^ 1 << rng.randrange(8)]))


def cut_short(log: Path, frames: int) -> None:
    """The last of the write-ahead log is gone."""
    wal = log.with_name(log.name + "-wal")
    if wal.exists():
        os.truncate(wal, max(0, wal.stat().st_size - frames * FRAME))


def size_of_tail(log: Path) -> int:
    """How long its write-ahead log is (bytes)."""
    return log.with_name(log.name + "-wal").stat().st_size


def keep_of_tail(log: Path, size: int) -> None:
    """Of the write-ahead log so much had reached the disk (bytes)."""
    os.truncate(log.with_name(log.name + "-wal"), size)


def lose_tail(log: Path) -> None:
    """The write-ahead log is gone, and what SQLite knew of it."""
    for end in ENDS[1:]:
        log.with_name(log.name + end).unlink(missing_ok=True)


def lose(log: Path) -> None:
    """The log is gone; all else is kept."""
    for end in ENDS:
        log.with_name(log.name + end).unlink(missing_ok=True)


def back_up(log: Path, copy: Path) -> None:
    """A copy as of one moment; the tier may be at work."""
    lose(copy)
    with closing(sqlite3.connect(log, timeout=30)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def restore(copy: Path, log: Path) -> None:
    """The copy takes the place of the log."""
    lose(log)
    log.write_bytes(copy.read_bytes())

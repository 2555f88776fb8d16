"""The files of a server: those only its owner may read, and its log."""

from __future__ import annotations

import os
from pathlib import Path

TAIL = 5


def write_private(file: Path, text: str, *, durable: bool = True) -> None:
    """Writes a file that only its owner reads: the old content or the new one, never a part of it. One that is not
    `durable`, since it is written anew at each start, waits for no disk."""
    part = file.with_name(file.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
        if durable:
            stream.flush()
            os.fsync(stream.fileno())
    part.replace(file)


class LogFile:
    """A log that the server appends to, read from a place on."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def end(self) -> int:
        """The place where the next line will stand."""
        return self.path.stat().st_size if self.path.exists() else 0

    def since(self, place: int) -> str:
        """What was written from the place on. The log may have been cut meanwhile: then all there is."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as stream:
            stream.seek(place if place <= self.end() else 0)
            return stream.read().decode(errors="replace")

    def tail(self, place: int) -> str:
        """The last lines from the place on."""
        return "\n".join(self.since(place).splitlines()[-TAIL:]) or "(its log is empty)"

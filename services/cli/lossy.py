"""A stream for the log of a program: what cannot be written is lost, and no error reaches whoever logs.

A tier whose disk is full refuses commands in good order; that its log is on the same disk must not end it.
"""

from __future__ import annotations

import os
from typing import TextIO


class LossyStream:
    """Writes at once. When it works again after a loss, it says how many lines are missing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = 0

    def write(self, text: str) -> None:
        """Writes the text, or loses it."""
        told = f"\n{self._lost} lines of the log were lost: they could not be written\n" if self._lost else ""
        data = (told + text).encode("utf-8", "backslashreplace")
        try:
            # Past Python's own buffer, which would keep what failed, and fail with it again at the end.
            while data:
                data = data[os.write(self._stream.fileno(), data) :]
        except (OSError, ValueError):
            self._lost += 1
        else:
            self._lost = 0

    def flush(self) -> None:
        """Nothing waits."""

"""Errors of the store.

StoreError          the log could not do what it was asked; nothing of it happened
└── LogDamaged      the file is no log, not this tier's log, or is broken
"""

from __future__ import annotations


class StoreError(Exception):
    """The log could not do what it was asked (disk full, file locked, closed, an id used twice), and
    nothing of it happened. `hint`: what to look at, where the store knows."""

    def __init__(self, what: str, hint: str | None = None) -> None:
        super().__init__(what)
        self.hint = hint


class LogDamaged(StoreError):
    """The file is no log, is the log of another tier or of a later version, or is broken."""

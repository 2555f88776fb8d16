"""What a check finds wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Finding(NamedTuple):
    """A promise that was not kept: which, in whose log, how."""

    promise: str
    path: str
    what: str


def ranges(numbers: Iterable[int]) -> str:
    """`1-3, 7`: numbers in order, runs drawn together."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)

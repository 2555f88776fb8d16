"""What came of rounds, by the faults that were in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from bus.types import FINALS
from tests.faults.schedule import Deed


@dataclass
class Row:
    """The rounds with one fault: how often it happened in them, how their commands ended, how many broke a promise."""

    rounds: int = 0
    times: int = 0
    broken: int = 0
    ended: Counter[str] = field(default_factory=Counter)


class Table:
    """Gathers rounds; `str` of it is for people."""

    def __init__(self) -> None:
        self.all = Row()
        self.rows: dict[str, Row] = {}

    def add(self, deeds: Iterable[Deed], ended: Counter[str], *, broken: bool) -> None:
        """One round: what was done, and how the commands ended that ended in it."""
        times = Counter(deed.name for deed in deeds)
        for name, count in times.items():
            self._add(self.rows.setdefault(name, Row()), count, ended, broken)
        self._add(self.all, times.total(), ended, broken)

    @staticmethod
    def _add(row: Row, times: int, ended: Counter[str], broken: bool) -> None:
        row.rounds += 1
        row.times += times
        row.broken += broken
        row.ended += ended

    def __str__(self) -> str:
        states = [state for state in FINALS.values() if self.all.ended[state]]
        head = ["fault", "times", "rounds", *states, "broken"]
        rows = [(name, self.rows[name]) for name in sorted(self.rows)] + [("all", self.all)]
        lines = [head] + [
            [name, *map(str, (row.times, row.rounds, *(row.ended[state] for state in states), row.broken))]
            for name, row in rows
        ]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                [
                    cells[0].ljust(widths[0]),
                    *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)),
                ]
            )
            for cells in lines
        )

"""Shows on stderr how a wait goes: a live line where somebody watches, else a line at each change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from services.cli.printing import error_console, is_live, note
from services.cli.tracker import Tracker

#: Seconds between plain lines at least, and at most when nothing changes.
OFTEN, SELDOM = 0.5, 30.0


@contextmanager
def shown(tracker: Tracker, live: bool | None = None) -> Iterator[Callable[[], None]]:
    """Shows the tracker while the block runs; call what it gives after each change."""
    if is_live() if live is None else live:
        with Live(get_renderable=lambda: _picture(tracker), console=error_console(), transient=True) as display:
            yield display.refresh
    else:
        yield PlainLines(tracker).tell


def _picture(tracker: Tracker) -> RenderableType:
    bar = ProgressBar(total=max(tracker.total, 1), completed=tracker.done, width=40)
    line = tracker.line(datetime.now(UTC))
    line.no_wrap, line.overflow = True, "ellipsis"
    return Group(bar, line)


class PlainLines:
    """A line when the counts change, not too often, and one now and then when they do not."""

    def __init__(self, tracker: Tracker, say: Callable[[Text], None] = note) -> None:
        self._tracker = tracker
        self._say = say
        self._last: object = None
        self._told = float("-inf")

    def tell(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Prints a line if it is time for one."""
        state = (dict(self._tracker.summary), self._tracker.trouble)
        quiet = clock() - self._told
        finished = self._tracker.done == self._tracker.total
        if quiet < SELDOM and (state == self._last or (quiet < OFTEN and not finished)):
            return
        self._last, self._told = state, clock()
        self._say(self._tracker.line(datetime.now(UTC)))

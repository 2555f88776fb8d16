"""How the demo shows itself: steps with their times, tables between them, and what changes live."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.text import Text

from services.cli.printing import error_console, is_live, show

INDENT = "    "


class Screen:
    """Prints for people. `took` has the seconds of each step."""

    def __init__(self, steps: int, live: bool | None = None) -> None:
        self._steps = steps
        self._live = is_live() if live is None else live
        self.took: dict[str, float] = {}

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step of the story; when it is done, how long it took."""
        begun = time.monotonic()
        show(Text.assemble((f"\n{len(self.took) + 1}/{self._steps} ", "bold cyan"), (title, "bold")))
        self.took[title] = 0.0
        yield
        self.took[title] = round(time.monotonic() - begun, 3)
        show(Text(f"{INDENT}({self.took[title]:.1f} s)", style="dim"))

    def say(self, text: Text | str) -> None:
        """Lines within a step."""
        lines = text if isinstance(text, Text) else Text(text)
        for line in lines.split("\n"):
            show(Text(INDENT).append_text(line))

    @contextmanager
    def watching(self) -> Iterator[Callable[[Text], None]]:
        """Call what it gives with each new state of something: it stays in one place where somebody watches,
        else the first line of it is printed when it has changed."""
        if not self._live:
            yield _Changes(self.say).tell
            return
        with Live(console=error_console(), transient=True, auto_refresh=False) as display:
            yield lambda text: display.update(text, refresh=True)


class _Changes:
    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last = ""

    def tell(self, text: Text) -> None:
        line = text.plain.partition("\n")[0]
        if line != self._last:
            self._last = line
            self._say(line)

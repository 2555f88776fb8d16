"""How the lab tells its links what to be, and hears what they are: two small files, each written whole.

The lab writes what it wants, the program of the links (`links.py`) what there is. Files survive both, and
need no port and no short path as sockets do.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

LinkState = Literal["up", "cut", "hang"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The link of one child: the port that the child dials, where its parent listens, and what it should be.
    `order` grows with each change."""

    port: int
    host: str
    target: int
    state: LinkState = "up"
    order: int = 1


@dataclass(frozen=True, slots=True)
class Found:
    """What a link is after this order; `error` says why it is not as wanted."""

    order: int
    state: LinkState | None
    connections: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The links as their program has them; `pid` tells which life of it says so."""

    pid: int
    links: dict[str, Found]


class LinkFiles:
    """The two files of a lab, and the log and the record of the program between them."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "links.log"
        self.record = directory / "links.process.json"
        self._wanted = directory / "links.json"
        self._found = directory / "links.state.json"

    def version(self) -> object:
        """Changes whenever something else is wanted."""
        try:
            stat = self._wanted.stat()
        except FileNotFoundError:
            return None
        return stat.st_mtime_ns, stat.st_ino

    def wanted(self) -> dict[str, Wanted]:
        """By the child's path."""
        return {path: Wanted(**entry) for path, entry in _read(self._wanted).items()}

    def want(self, wanted: dict[str, Wanted]) -> None:
        """Tells the links."""
        _write(self._wanted, {path: asdict(entry) for path, entry in wanted.items()})

    def found(self) -> Answer | None:
        """What the links said last; None if nothing."""
        said = _read(self._found)
        if not said:
            return None
        return Answer(said["pid"], {path: Found(**entry) for path, entry in said["links"].items()})

    def tell(self, answer: Answer) -> None:
        """Says what the links are."""
        _write(self._found, asdict(answer))


def _read(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    return content


def _write(file: Path, content: dict[str, Any]) -> None:
    draft = file.with_suffix(".part")
    draft.write_text(json.dumps(content, indent=2) + "\n")
    draft.replace(file)

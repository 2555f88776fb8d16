"""A tier's log as it grows, read straight from its file: quick enough to be asked again and again."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path

from bus.event import Event
from bus.types import ANNOUNCED, ATTACHED, FINALS, MAIL, RECEIVED, RENEWED, SUBMITTED
from services.cli.demo.books import Slot, covers_of, slots_of


class LogView:
    """One log as it was at the last `refresh`."""

    def __init__(self, path: str, file: Path) -> None:
        self.path = path
        self.file = file
        self.ids: set[str] = set()
        self.mail: list[Event] = []
        #: what each source has shared, by its place: (epoch, seq) -> what it says
        self.shared: dict[str, dict[tuple[str, int], str]] = defaultdict(dict)
        #: up to where each life of a source (source, epoch) was given up
        self.floors: dict[tuple[str, str], int] = {}
        #: mailbox numbers that are filled, by the mail itself or by what stands for it
        self.slots: set[Slot] = set()
        #: (command, target) of which it knows that they were received
        self.delivered: set[tuple[str, str]] = set()
        #: what this tier said of each command that it carries out: its `received`, and its finals in order
        self.received: dict[str, Event] = {}
        self.finals: dict[str, list[Event]] = defaultdict(list)
        #: which life of this log is the latest
        self.epoch = ""
        self._row = 0

    def refresh(self) -> None:
        """Reads what is new."""
        with closing(sqlite3.connect(self.file, timeout=30)) as db:
            rows = db.execute("SELECT row, body FROM events WHERE row > ? ORDER BY row", (self._row,)).fetchall()
            floors = db.execute("SELECT * FROM floors").fetchall()
        self.floors = {(source, epoch): number for source, epoch, target, number in floors if not target}
        for self._row, body in rows:
            self._file(Event.decode(body))

    def _file(self, event: Event) -> None:
        self.ids.add(event.id)
        if event.source == self.path:
            self.epoch = max(self.epoch, event.epoch)
        if event.seq is not None:
            self.shared[event.source][event.epoch, event.seq] = _said_in(event)
        if event.type in MAIL:
            self.mail.append(event)
            self.slots.update(slots_of(event), covers_of(event))
        elif event.type == RECEIVED:
            self.delivered.add((event.data["command"], event.source))
            if event.source == self.path:
                self.received[event.data["command"]] = event
        elif event.source == self.path and event.type in FINALS:
            self.finals[event.data["command"]].append(event)


def _said_in(event: Event) -> str:
    """What it says, whichever life says it; "" if only its own life may."""
    if event.type == SUBMITTED:
        return f"{event.type} {event.data['command']}"
    if event.type in (*MAIL, ANNOUNCED, ATTACHED, RENEWED):
        return ""
    return f"{event.type} {json.dumps(event.data, sort_keys=True, default=str)}"

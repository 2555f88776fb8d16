"""Whom a tier believes: its own key, and the keys of the tiers above it, which its credentials brought.

A tier with credentials signs what it says to others, and believes nothing unsigned. What its log had said before it
got its key stays valid as it is: the places up to which that goes are kept in a file beside the credentials.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bus.errors import Conflict
from bus.event import Event
from bus.signing import Signer
from leafnodes.credentials.store import Store
from leafnodes.files import write_private
from store.api import KeyRow, Reader

FILE = "unsigned.json"


@dataclass(frozen=True)
class Trust:
    """`above` are the keys of the tiers above, by path. `before` is up to which seq each life of the own log was
    written without a key; None as long as nobody has looked."""

    path: str
    signer: Signer
    above: Mapping[str, str]
    before: Mapping[str, int] | None
    file: Path

    @property
    def roots(self) -> list[KeyRow]:
        """The keys that need nobody's word."""
        own = KeyRow(self.path, self.signer.public, before=self.before or {})
        return [own, *(KeyRow(path, key) for path, key in self.above.items())]

    def begun(self, before: Mapping[str, int]) -> Trust:
        """The same, with what the own log held when it got its key; kept."""
        write_private(self.file, json.dumps(dict(before)) + "\n")
        return Trust(self.path, self.signer, self.above, dict(before), self.file)


def trust_in(state: Path) -> Trust | None:
    """What the credentials in a state directory say; None where there are none. Conflict if they are damaged."""
    store = Store(state)
    if not store.exists:
        return None
    about, file = store.state(), store.directory / FILE
    return Trust(about.path, Signer(store.keys().cluster.seed), about.trusted, _before(file), file)


def _before(file: Path) -> dict[str, int] | None:
    if not file.exists():
        return None
    try:
        return {life: int(seq) for life, seq in json.loads(file.read_bytes()).items()}
    except (AttributeError, OSError, TypeError, ValueError):
        hint = "bring it back from a backup; or remove it: what the log said without a key is then said again"
        raise Conflict(f"{file} is damaged", hint=hint) from None


def spoken(reader: Reader[Event], path: str) -> dict[str, int]:
    """Up to where each life of a cluster's log is held here without a hole."""
    return {stream.epoch: seq for stream, seq in reader.streams(path).items() if stream.source == path}

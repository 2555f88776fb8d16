"""The records that a log keeps beside its events and projections: lives, positions, mailboxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from store.projections.base import Table


@dataclass(slots=True)
class Life:
    """A life of this log."""

    epoch: str
    source: str
    begun: str


@dataclass(slots=True)
class StreamPosition:
    """Up to where a stream is held without a hole, and its highest seq. `held` is tracked for sources
    at or below this log's own path only, and is 0 for others."""

    source: str
    epoch: str
    held: int = 0
    top: int = 0


@dataclass(slots=True)
class Box:
    """A mailbox: its short name `id` in `fills`, and its position. For a mailbox of this log's own,
    `top` is what was allotted."""

    origin: str
    epoch: str
    target: str
    id: int
    held: int = 0
    top: int = 0


@dataclass(slots=True)
class Fill:
    """What fills a mailbox number: rows of events; `cover_seq` is the place of the cover."""

    box: int
    number: int
    event: int | None = None
    cover: int | None = None
    cover_seq: int | None = None


@dataclass(slots=True)
class CursorPosition:
    """How far this cluster has received what an origin sent it."""

    origin: str
    epoch: str
    number: int


@dataclass(slots=True)
class Confirmation:
    """What a neighbour said it holds of a stream."""

    neighbour: str
    source: str
    epoch: str
    seq: int


@dataclass(slots=True)
class Guarantee:
    """Since when, and after which row, events are committed with this `synchronous`."""

    since: str
    row: int
    synchronous: str


@dataclass(slots=True)
class Floor:
    """Up to here, what is missing of a stream (`target` is "") or of a mailbox was compacted away."""

    source: str
    epoch: str
    target: str
    number: int


@dataclass(slots=True)
class Snapshot:
    """A record of the table `name` as the events up to some row made it, of which some are no more. `key` and
    `record` are msgpack."""

    name: str
    key: bytes
    record: bytes


@dataclass(slots=True)
class Place:
    """The row up to which a consumer has worked."""

    consumer: str
    row: int


@dataclass(slots=True)
class ProjectionPosition:
    """The row up to which a projection's records tell, and the version of the fold that made them."""

    name: str
    version: int
    row: int


@dataclass(slots=True)
class Quarantined:
    """An event whose place or id was taken by another."""

    checksum: bytes
    id: str
    source: str
    epoch: str
    seq: int | None
    type: str
    body: bytes
    stored_at: str


LIVES = Table("lives", Life, ("epoch",))
STREAMS = Table("streams", StreamPosition, ("source", "epoch"))
BOXES = Table("boxes", Box, ("origin", "epoch", "target"))
FILLS = Table("fills", Fill, ("box", "number"))
CURSORS = Table("cursors", CursorPosition, ("origin",))
NEIGHBOURS = Table("neighbours", Confirmation, ("neighbour", "source", "epoch"))
FLOORS = Table("floors", Floor, ("source", "epoch", "target"))
SNAPSHOTS = Table("snapshots", Snapshot, ("name", "key"))
GUARANTEES = Table("guarantees", Guarantee, ("since",))
PLACES = Table("places", Place, ("consumer",))
PROJECTIONS = Table("projections", ProjectionPosition, ("name",))
QUARANTINE = Table("quarantine", Quarantined, ("checksum",))

STATED: tuple[Table[Any], ...] = (LIVES, CURSORS, NEIGHBOURS, PLACES, QUARANTINE, GUARANTEES, FLOORS, SNAPSHOTS)
"""What is said here only; all else can be made from the events."""

RECORDS: tuple[Table[Any], ...] = (
    LIVES, STREAMS, BOXES, FILLS, CURSORS, NEIGHBOURS, PLACES, PROJECTIONS, QUARANTINE, GUARANTEES,
    FLOORS, SNAPSHOTS,
)  # fmt: skip

"""The event: an immutable record in a log, in the shape of CloudEvents 1.0.

The exact bytes matter: carriers store and pass them on unchanged, so that the checksum (and later
the source's signature) stays true over any number of hops. So an `Event` keeps the bytes that it was
sealed into or decoded from, and nothing ever encodes an event a second time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgpack
from pydantic import TypeAdapter, ValidationError
from typing_extensions import NotRequired, TypedDict
from uuid_utils import uuid7

from bus.errors import BadMessage

SPEC_VERSION = "1.0"


class Addressee(NamedTuple):
    """One target of a command: its path, its number in the mailbox (origin, path), counted from 1,
    and the target's epoch as the origin knew it ("" if it knew none)."""

    path: str
    number: int
    epoch: str


class Cover(NamedTuple):
    """An earlier mailbox number that this event stands for: the target's path, the number, the
    command that had it, and the checksum of the body that need not travel any more."""

    path: str
    number: int
    command: str
    checksum: bytes


def new_id() -> str:
    """A fresh UUIDv7 as text."""
    return str(uuid7())


def now() -> str:
    """The current UTC time as RFC 3339 text with microseconds: sorts as text."""
    return format_time(datetime.now(UTC))


def format_time(moment: datetime) -> str:
    """RFC 3339 text of fixed width (`2026-11-23T06:35:59.123456Z`)."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def parse_time(text: str) -> datetime:
    """The moment that RFC 3339 text names. ValueError if it is none."""
    return datetime.fromisoformat(text)


class _Wire(TypedDict):
    """What the bytes of an event decode to. Attributes of a later version are let through: a carrier
    keeps the bytes, and need not understand them."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    epoch: str
    data: dict[str, Any]
    seq: NotRequired[int]
    cause: NotRequired[str]
    actor: NotRequired[str]
    to: NotRequired[list[tuple[str, int, str]]]
    expiresat: NotRequired[str]
    supersedes: NotRequired[list[tuple[str, int, str, bytes]]]


_wire: TypeAdapter[_Wire] = TypeAdapter(_Wire)


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """One event; equal when the bytes are equal. `seq` is None on local-only events."""

    id: str
    source: str
    type: str
    subject: str
    time: str
    epoch: str
    seq: int | None
    data: Mapping[str, Any]
    cause: str | None
    actor: str | None
    to: tuple[Addressee, ...]
    expiresat: str | None
    supersedes: tuple[Cover, ...]
    body: bytes
    checksum: bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self.body == other.body

    def __hash__(self) -> int:
        return hash(self.body)

    @staticmethod
    def decode(body: bytes) -> Event:
        """The event in these bytes. BadMessage names the attribute that is wrong."""
        try:
            wire = _wire.validate_python(msgpack.unpackb(body, use_list=True))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "event"
            raise BadMessage(f"event attribute {where}: {first['msg']}", field=where) from None
        except (ValueError, msgpack.UnpackException) as error:
            raise BadMessage(f"not an event: {error or type(error).__name__}") from None
        if wire["specversion"] != SPEC_VERSION:
            raise BadMessage(f"specversion {wire['specversion']!r} is not {SPEC_VERSION}", field="specversion")
        return _assemble(wire, body)

    def cloudevent(self) -> dict[str, Any]:
        """The event as CloudEvents JSON: extension names are lower-case, integers beyond 32 bits text."""
        out: dict[str, Any] = {
            "specversion": SPEC_VERSION,
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "time": self.time,
            "datacontenttype": "application/json",
            "data": dict(self.data),
            "epoch": self.epoch,
        }
        if self.seq is not None:
            out["seq"] = self.seq if self.seq < 2**31 else str(self.seq)
        for name in ("cause", "actor", "expiresat"):
            if (value := getattr(self, name)) is not None:
                out[name] = value
        # CloudEvents attributes are scalars: the lists travel as text that people can still read.
        if self.to:
            out["to"] = ",".join(f"{a.path}#{a.number}" for a in self.to)
        if self.supersedes:
            out["supersedes"] = ",".join(f"{c.path}#{c.number}" for c in self.supersedes)
        return out


def _assemble(wire: _Wire, body: bytes) -> Event:
    return Event(
        id=wire["id"],
        source=wire["source"],
        type=wire["type"],
        subject=wire["subject"],
        time=wire["time"],
        epoch=wire["epoch"],
        seq=wire.get("seq"),
        data=wire["data"],
        cause=wire.get("cause"),
        actor=wire.get("actor"),
        to=tuple(Addressee(*entry) for entry in wire.get("to", ())),
        expiresat=wire.get("expiresat"),
        supersedes=tuple(Cover(*entry) for entry in wire.get("supersedes", ())),
        body=body,
        checksum=checksum(body),
    )


def checksum(body: bytes) -> bytes:
    """16 bytes of BLAKE2b over an event's exact bytes."""
    return hashlib.blake2b(body, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before the log has given it its place. `shared` events take a `seq` and travel;
    the others stay in this tier's log."""

    type: str
    subject: str
    data: Mapping[str, Any]
    cause: str | None = None
    actor: str | None = None
    to: tuple[Addressee, ...] = ()
    expiresat: str | None = None
    supersedes: tuple[Cover, ...] = ()
    shared: bool = True
    id: str = field(default_factory=new_id)
    time: str = field(default_factory=now)

    def seal(self, source: str, epoch: str, seq: int | None) -> Event:
        """The event at this place of this life of this source's log: its bytes are final."""
        wire: dict[str, Any] = {
            "specversion": SPEC_VERSION,
            "id": self.id,
            "source": source,
            "type": self.type,
            "subject": self.subject,
            "time": self.time,
            "epoch": epoch,
            "data": self.data,
        }
        optional = {
            "seq": seq,
            "cause": self.cause,
            "actor": self.actor,
            "to": self.to or None,
            "expiresat": self.expiresat,
            "supersedes": self.supersedes or None,
        }
        wire.update((name, value) for name, value in optional.items() if value is not None)
        body: bytes = msgpack.packb(wire)
        return Event(
            id=self.id,
            source=source,
            type=self.type,
            subject=self.subject,
            time=self.time,
            epoch=epoch,
            seq=seq,
            data=self.data,
            cause=self.cause,
            actor=self.actor,
            to=self.to,
            expiresat=self.expiresat,
            supersedes=self.supersedes,
            body=body,
            checksum=checksum(body),
        )

"""The event: an immutable record in a log, in the shape of CloudEvents 1.0.

The exact bytes matter: carriers store and pass them on unchanged, so that the checksum and the source's
signature (see `bus.signing`) stay true over any number of hops. So an `Event` keeps the bytes that it was
sealed into or decoded from, and nothing ever encodes an event a second time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from time import time_ns
from typing import Annotated, Any, Final, NamedTuple, NotRequired

import msgpack
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict
from uuid_utils import uuid7

from bus.errors import BadMessage

SPEC_VERSION = "1.0"

SIGNATURE_MARK = b"\xa3sig\xc4\x40"
"""What stands before the 64 bytes of a signature, at the end of an event that has one."""
_UNSIGNED = bytes(64)

Sign = Callable[[bytes], bytes]
"""Makes the 64 bytes of a signature over these."""


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
    seconds, micros = divmod(time_ns() // 1000, 1_000_000)
    return f"{_second(seconds)}.{micros:06d}Z"


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


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
    seq: NotRequired[Annotated[int, Field(ge=1)]]
    cause: NotRequired[str]
    actor: NotRequired[str]
    to: NotRequired[list[tuple[str, Annotated[int, Field(ge=1)], str]]]
    expiresat: NotRequired[str]
    supersedes: NotRequired[list[tuple[str, Annotated[int, Field(ge=1)], str, bytes]]]


_wire: TypeAdapter[_Wire] = TypeAdapter(_Wire)


@dataclass(slots=True, eq=False)
class Event:
    """One event; never changed once it is made, and equal when the bytes are equal. `seq` is None on
    local-only events."""

    # Not frozen: that makes a dataclass five times slower to build, and every tier builds every event.
    id: Final[str]
    source: Final[str]
    type: Final[str]
    subject: Final[str]
    time: Final[str]
    epoch: Final[str]
    seq: Final[int | None]
    data: Final[Mapping[str, Any]]
    cause: Final[str | None]
    actor: Final[str | None]
    to: Final[tuple[Addressee, ...]]
    expiresat: Final[str | None]
    supersedes: Final[tuple[Cover, ...]]
    body: Final[bytes]
    _checksum: bytes = b""

    @property
    def checksum(self) -> bytes:
        """16 bytes over `body`, made when they are first asked for: whoever only folds the past needs none."""
        found = self._checksum or checksum(self.body)
        self._checksum = found
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self.body == other.body

    def __hash__(self) -> int:
        return hash(self.body)

    @staticmethod
    def decode(body: bytes) -> Event:
        """The event in these bytes. BadMessage names the attribute that is wrong."""
        try:
            wire = msgpack.unpackb(body)
        except (ValueError, msgpack.UnpackException) as error:
            raise BadMessage(f"not an event: {error or type(error).__name__}") from None
        event = _assemble(wire, body) if type(wire) is dict else None
        if event is None:
            raise _fault(wire)
        return event

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


_REQUIRED = itemgetter("specversion", "id", "source", "type", "subject", "time", "epoch", "data")


def _assemble(wire: dict[str, Any], body: bytes) -> Event | None:
    """The quick form of `_Wire`, for every event that comes in: None where that would find a fault."""
    try:
        version, id, source, kind, subject, time, epoch, data = _REQUIRED(wire)
    except KeyError:
        return None
    get = wire.get
    seq, cause, actor, expiresat = get("seq"), get("cause"), get("actor"), get("expiresat")
    if not (
        version == SPEC_VERSION
        and type(id) is type(source) is type(kind) is type(subject) is type(time) is type(epoch) is str
        and type(data) is dict
        and (type(seq) is int and seq > 0 if "seq" in wire else True)
        and (cause is None or type(cause) is str)
        and (actor is None or type(actor) is str)
        and (expiresat is None or type(expiresat) is str)
    ):
        return None
    try:
        to = _addressees(wire["to"]) if "to" in wire else ()
        supersedes = _covers(wire["supersedes"]) if "supersedes" in wire else ()
    except (TypeError, ValueError):
        return None
    return Event(
        id, source, kind, subject, time, epoch, seq, data, cause, actor, to, expiresat, supersedes, body
    )  # fmt: skip


def _addressees(told: Any) -> tuple[Addressee, ...]:
    """TypeError or ValueError where one of them is none."""
    for path, number, life in told:
        if not (type(path) is type(life) is str and type(number) is int and number > 0):
            raise TypeError
    # A namedtuple's own way takes three times as long, and every tier makes all addressees of every command.
    new = tuple.__new__
    return tuple([new(Addressee, each) for each in told])


def _covers(told: Any) -> tuple[Cover, ...]:
    """TypeError or ValueError where one of them is none."""
    for path, number, command, sum_ in told:
        if not (type(path) is type(command) is str and type(number) is int and type(sum_) is bytes):
            raise TypeError
    return tuple(map(Cover._make, told))


def _fault(wire: Any) -> BadMessage:
    try:
        _wire.validate_python(wire, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "event"
        return BadMessage(f"event attribute {where}: {first['msg']}", field=where)
    if wire["specversion"] != SPEC_VERSION:
        return BadMessage(f"specversion {wire['specversion']!r} is not {SPEC_VERSION}", field="specversion")
    return BadMessage("not an event: an attribute has the wrong type")


def checksum(body: bytes) -> bytes:
    """16 bytes of BLAKE2b over an event's exact bytes."""
    return hashlib.blake2b(body, digest_size=16).digest()


@dataclass(slots=True)
class Draft:
    """An event before the log has given it its place; not changed once made. `shared` events take a `seq` and travel;
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

    def seal(self, source: str, epoch: str, seq: int | None, sign: Sign | None = None) -> Event:
        """The event at this place of this life of this source's log: its bytes are final. What others will see is
        signed, if there is a `sign`."""
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
        if seq is not None:
            wire["seq"] = seq
        if self.cause is not None:
            wire["cause"] = self.cause
        if self.actor is not None:
            wire["actor"] = self.actor
        if self.to:
            wire["to"] = self.to
        if self.expiresat is not None:
            wire["expiresat"] = self.expiresat
        if self.supersedes:
            wire["supersedes"] = self.supersedes
        if sign is None or seq is None:
            body: bytes = msgpack.packb(wire)
        else:
            wire["sig"] = _UNSIGNED
            signed: bytes = msgpack.packb(wire)[: -len(SIGNATURE_MARK) - len(_UNSIGNED)]
            body = signed + SIGNATURE_MARK + sign(signed)
        return Event(
            self.id,
            source,
            self.type,
            self.subject,
            self.time,
            epoch,
            seq,
            self.data,
            self.cause,
            self.actor,
            self.to,
            self.expiresat,
            self.supersedes,
            body,
        )

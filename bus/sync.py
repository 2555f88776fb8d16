"""What tiers ask their path ancestors on `ote.sync.<depth>.<path>`: hello, and "what did I miss?".

A sync is up to three exchanges, the cheap one first, so that an idle link costs two digests:
`compare` tells in which buckets the two logs differ, `mail` brings what the asker lacks, `held` and
`ship` give the ancestor what it lacks, and `streams` brings what came to the ancestor by another way: of
clusters below the asker that are attached elsewhere. `family` tells where the asker could attach. `history` and
`give-back` bring back what one of the two has lost of its own events. Numbers
state only what is committed. Every answer echoes the asker's epoch: an answer to an earlier life is discarded.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Any, Literal, NamedTuple

import msgpack
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bus.errors import BadMessage

#: (origin, origin's epoch, target, held number)
MailPosition = tuple[str, str, str, int]
#: (source, epoch, held seq)
StreamPosition = tuple[str, str, int]


class Mark(NamedTuple):
    """The last that is held of what a source has said: its place (epoch, seq) and its checksum."""

    epoch: str
    seq: int
    checksum: bytes


class _Message(BaseModel):
    # Later versions may add attributes: a tree is never upgraded at one instant.
    model_config = ConfigDict(extra="ignore", frozen=True)

    def pack(self) -> bytes:
        """The message's bytes."""
        packed: bytes = msgpack.packb(self.model_dump())
        return packed


class Hello(_Message):
    """A tier presents itself to an ancestor; `instance` is new with every start of its process, `marks` show the last
    that it holds of each life of the ancestor's log."""

    kind: Literal["hello"] = "hello"
    epoch: str
    instance: str
    marks: list[Mark] = Field(default_factory=list)


class Compare(_Message):
    """The digests of the asker's positions: mailboxes that come from above it, streams from below.
    `instance` as in its hello: another may have taken its path while it was away."""

    kind: Literal["compare"] = "compare"
    epoch: str
    instance: str
    mail: int
    streams: int


class AskMail(_Message):
    """For these buckets: up to which number the asker holds each mailbox without a hole."""

    kind: Literal["mail"] = "mail"
    epoch: str
    buckets: list[int]
    held: list[MailPosition]
    #: about so many bytes of events in the answer
    limit: int = Field(60_000, ge=1, le=60_000)


class AskHeld(_Message):
    """Which streams at or below the asker does the ancestor hold, up to where?"""

    kind: Literal["held"] = "held"
    epoch: str
    buckets: list[int]


class Ship(_Message):
    """Events of sources at or below the asker that the ancestor lacks; acknowledged when committed. After the last
    of a stream `floors` says up to where what has not come was compacted away, and will not come."""

    kind: Literal["ship"] = "ship"
    epoch: str
    events: list[bytes]
    floors: list[StreamPosition] = Field(default_factory=list)


class AskStreams(_Message):
    """What the ancestor holds of these streams, of sources below the asker, behind what the asker holds."""

    kind: Literal["streams"] = "streams"
    epoch: str
    held: list[StreamPosition]
    #: about so many bytes of events in the answer
    limit: int = Field(60_000, ge=1, le=60_000)


class AskFamily(_Message):
    """Where could the asker attach, if its parent were lost?"""

    kind: Literal["family"] = "family"
    epoch: str


class AskHistory(_Message):
    """What does the ancestor hold of the asker's own events, beyond what the asker holds of its lives? From the row
    `after` of the ancestor's log on."""

    kind: Literal["history"] = "history"
    epoch: str
    held: list[StreamPosition]
    after: int = 0
    #: about so many bytes of events in the answer
    limit: int = Field(60_000, ge=1, le=60_000)


class GiveBack(_Message):
    """Mail of the ancestor's own that it may have lost, up to this row of the asker's log, as it asked for in one life
    of its log and one start of its process; acknowledged when committed."""

    kind: Literal["give-back"] = "give-back"
    epoch: str
    events: list[bytes]
    row: int
    #: Of earlier versions nothing.
    life: str = ""
    instance: str = ""


Asks = Hello | Compare | AskMail | AskHeld | Ship | AskStreams | AskFamily | AskHistory | GiveBack
Ask = Annotated[Asks, Field(discriminator="kind")]
_ask: TypeAdapter[Ask] = TypeAdapter(Ask)


class Relative(NamedTuple):
    """A tier and where it is reached: host:port, without a login; behind a # the certificate of its authority."""

    path: str
    leaf: str


class Family(_Message):
    """The tiers near a cluster, as an ancestor of it knows them: its parent, its parent's parent, some of its parent's
    siblings, and of its own; `relays` are siblings where they pass bytes on to their parent. Those that send others
    away are left out."""

    parent: Relative | None = None
    grandparent: Relative | None = None
    uncles: list[Relative] = Field(default_factory=list)
    siblings: list[Relative] = Field(default_factory=list)
    relays: list[Relative] = Field(default_factory=list)

    @property
    def digest(self) -> int:
        """Differs where families do; never 0."""
        return 1 + int.from_bytes(blake2b(self.pack(), digest_size=6).digest(), "big")


class Answer(_Message):
    """What the ancestor says. `echo` is the asker's epoch, `life` the highest epoch of the asker that
    the ancestor has seen, `own` that of the ancestor's own log, `time` its UTC clock. The rest
    depends on the kind of the ask."""

    echo: str
    life: str = ""
    own: str = ""
    time: str
    instance: str
    #: compare: the digests of each bucket, where the totals differ
    mail_buckets: list[int] | None = None
    stream_buckets: list[int] | None = None
    #: compare: the digest of the asker's family (0: unknown), and how the asker's parent is, as the ancestor sees it
    family_digest: int = 0
    parent_state: str | None = None
    #: compare: the parent says whose links the asker passes on
    carried: list[str] = []
    #: family
    family: Family | None = None
    #: mail, streams; up to its floor, what has not come of a mailbox was compacted away: its target had received it
    events: list[bytes] = Field(default_factory=list)
    floors: list[MailPosition] = Field(default_factory=list)
    more: bool = False
    #: held, ship
    held: list[StreamPosition] = Field(default_factory=list)
    #: hello: why the asker is not admitted; the last that the ancestor holds of each life of the asker's log; and,
    #: where the ancestor may have lost something, up to where it holds its own lives: it asks for what lies beyond,
    #: from `row` of the asker's log on
    refused: str | None = None
    marks: list[Mark] = Field(default_factory=list)
    lost: list[StreamPosition] | None = None
    #: history: the row to go on from
    row: int = 0
    #: any: why there is no answer
    error: str | None = None


def unpack_ask(payload: bytes) -> Ask:
    """The ask in these bytes. BadMessage if there is none."""
    try:
        return _ask.validate_python(_unpack(payload))
    except ValidationError as error:
        raise _fault(str(error.errors()[0]["msg"])) from None


def unpack_answer(payload: bytes) -> Answer:
    """The answer in these bytes. BadMessage if there is none."""
    try:
        return Answer.model_validate(_unpack(payload))
    except ValidationError as error:
        raise _fault(str(error.errors()[0]["msg"])) from None


def _unpack(payload: bytes) -> Any:
    try:
        return msgpack.unpackb(payload)
    except (ValueError, msgpack.UnpackException) as error:
        raise _fault(str(error) or type(error).__name__) from None


def _fault(why: str) -> BadMessage:
    return BadMessage(f"not a sync message: {why}")

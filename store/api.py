"""What a log is: the interface that every backend implements and every service uses.

Work on a log is a function of a transaction. `Log.write(op)` hands the function to the one writer,
which runs it together with the others that wait (group commit) and resolves each caller after the
commit: an op either happened as a whole and is durable, or it raised. An op must be repeatable (a
group in which one op fails is rolled back, and the others are run again), quick, and do no I/O.

The store knows events by the attributes in `Entry`, and nothing of who sends or reads them.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

from store.times import Times


class Addressed(Protocol):
    """One target of a command and its number in the mailbox (origin, epoch, path)."""

    @property
    def path(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def epoch(self) -> str: ...


class Covering(Protocol):
    """A mailbox number for which a later event stands."""

    @property
    def path(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def command(self) -> str: ...
    @property
    def checksum(self) -> bytes: ...


class Entry(Protocol):
    """An event as the store sees it. `body` is the exact bytes; the rest are indexes into it."""

    @property
    def id(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def time(self) -> str: ...
    @property
    def epoch(self) -> str: ...
    @property
    def seq(self) -> int | None: ...
    @property
    def data(self) -> Mapping[str, Any]: ...
    @property
    def cause(self) -> str | None: ...
    @property
    def actor(self) -> str | None: ...
    @property
    def to(self) -> Sequence[Addressed]: ...
    @property
    def expiresat(self) -> str | None: ...
    @property
    def supersedes(self) -> Sequence[Covering]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def checksum(self) -> bytes: ...


E = TypeVar("E", bound=Entry)
E_co = TypeVar("E_co", bound=Entry, covariant=True)
T = TypeVar("T")

Sign = Callable[[bytes], bytes]
"""Signs these bytes in the name of the log's own cluster."""


class Draft(Protocol[E_co]):
    """An event that has no place yet."""

    @property
    def shared(self) -> bool: ...
    def seal(self, source: str, epoch: str, seq: int | None, sign: Sign | None = None) -> E_co:
        """The event at this place; what is shared is signed, if there is a `sign`."""
        ...


class Stream(NamedTuple):
    """The shared events of one life of one source; dense in `seq`, counted from 1."""

    source: str
    epoch: str


class Mailbox(NamedTuple):
    """The commands of one life of one origin for one target; dense in number, counted from 1."""

    origin: str
    epoch: str
    target: str


class Stored(NamedTuple, Generic[E]):
    """An event with the number of its row in this log."""

    row: int
    event: E


class Mail(NamedTuple, Generic[E]):
    """What fills one mailbox number: the event itself, or the later one that covers it, or both."""

    number: int
    event: E | None
    cover: E | None


class Cursor(NamedTuple):
    """How far this cluster has received what one origin sent it: (life of the origin, number)."""

    epoch: str
    number: int


@dataclass(frozen=True, slots=True)
class Needed:
    """What must stay in a log whatever its age: all that speaks of these `commands` (they are open, or the last of
    their key at a target), the events at these `places` (the last word of each cluster, on it, and on each of its
    objects), and the events that only this log has (without a seq) after the row `worked`: a consumer of this life of
    the log may not have seen them."""

    commands: frozenset[str]
    places: frozenset[tuple[str, str, int | None]]
    worked: int


class Guarantee(NamedTuple):
    """What a commit was worth: the events after `row` were committed with this `synchronous`. With FULL they
    survive a power cut, with NORMAL a crash of the process only."""

    synchronous: str
    since: str
    row: int


@dataclass(slots=True)
class Recorded(Generic[E]):
    """What became of events of other sources: stored now, already here, or in conflict with what
    is here (same place or same id, another checksum: quarantined)."""

    new: list[E] = field(default_factory=list)
    doubles: int = 0
    forks: list[E] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CommandRow:
    """A command as this tier knows it."""

    id: str
    origin: str
    epoch: str
    selector: str
    do: Mapping[str, Any]
    digest: str
    count: int
    actor: str | None
    key: str | None
    lane: str | None
    submitted: str
    expiresat: str | None


@dataclass(frozen=True, slots=True)
class TargetRow:
    """One command at one target. Times are RFC 3339 text; `stored` maps tiers on the way to the time
    they stored it; `withdrawn` is "cancelled" or "superseded" once the origin has said so; `received_at` is the
    place (epoch, seq) of the target's `received`, ("", 0) before it."""

    command: str
    target: str
    origin: str
    epoch: str
    number: int
    target_epoch: str
    state: str
    checksum: bytes
    accepted: str | None = None
    stored: Mapping[str, str] = field(default_factory=dict)
    delivered: str | None = None
    started: str | None = None
    executed: str | None = None
    observed: str | None = None
    result: Any = None
    error: Mapping[str, Any] | None = None
    withdrawn: str | None = None
    received_at: tuple[str, int] = ("", 0)


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """A cluster as this tier knows it. `state` is online, offline or unknown, since `since`; `parent`
    is None at a root; (`epoch`, `seq`) is the place of its latest announcement. `leaf` is where others reach it
    (host:port, or ""), `relay` where it passes the links of its siblings on, `drained` whether it sends others away,
    `moved` the place of its own last word on where it is attached; without one (seq 0) it is where its path says;
    `judged` the life of the log of whoever said last whether it is there ("": nobody did)."""

    path: str
    name: str
    parent: str | None
    attached_to: str | None
    tags: Mapping[str, str]
    shims: Sequence[Mapping[str, Any]]
    version: str | None
    resources: Mapping[str, Any]
    instance: str | None
    epoch: str
    seq: int
    state: str
    since: str | None
    announced: str | None
    last_seen: str | None
    leaf: str = ""
    drained: bool = False
    moved: tuple[str, int] = ("", 0)
    relay: str = ""
    judged: str = ""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key of a cluster (`U...`), admitted at the place (`epoch`, `seq`) of its parent `by` ("": not known here).
    For lives of its log, events up to a seq need no signature (`before`: it had no key yet), or count although
    the key is revoked (`through`: they were known then); `revoked` is when that was."""

    path: str
    key: str
    by: str = ""
    epoch: str = ""
    seq: int = 0
    admitted: str | None = None
    token: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, int] = field(default_factory=dict)
    revoked: str | None = None
    through: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """An object of a cluster as the cluster last told it: `object` is its manifest (of what is `gone` only its
    names), `since` when it became so there, `command` the command that made it so, where that is known; `event`
    is the id of the event that told it, `epoch` the life of the cluster's log."""

    cluster: str
    shim: str
    api_version: str
    kind: str
    namespace: str
    name: str
    object: Mapping[str, Any]
    gone: bool
    digest: str
    since: str
    command: str | None
    event: str
    epoch: str

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What orders the objects of a cluster."""
        return self.kind, self.namespace, self.name, self.api_version, self.shim


class Reader(Protocol[E]):
    """Reads of one consistent moment: committed rows, and in a transaction also its own."""

    source: str
    epoch: str

    def last_row(self) -> int: ...
    def event(self, id: str) -> E | None: ...
    def events(
        self,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int = 100,
        types: Sequence[str] = (),
        source: str | None = None,
        subject: str | None = None,
        since: str | None = None,
        until: str | None = None,
        latest: bool = False,
    ) -> list[Stored[E]]:
        """Events in row order, between two rows: the first `limit`, or the latest. `source` is exact or
        `under:PATH`; `subject` may hold NATS wildcards; `since` and `until` are RFC 3339 text,
        compared with the event's time, both inclusive."""
        ...

    def stream(self, stream: Stream, *, after: int, limit: int) -> list[E]:
        """Events of one stream with seq > after, in order of seq, up to the first hole (what was compacted away is
        none)."""
        ...

    def latest_of(self, source: str, *, before: str | None = None) -> E | None:
        """The shared event of a source with the highest (epoch, seq) that is here, with or without holes below it; of
        those lives that sort `before` one."""
        ...

    def last_at(self, stream: Stream, seq: int) -> E | None:
        """The last event of a stream up to this place that is here, with or without holes below it."""
        ...

    def quarantined(self, source: str, limit: int) -> list[E]:
        """Shared events of a source that are forks of others, or were not believed: of the latest life first, each
        life from its begin."""
        ...

    def top_of(self, stream: Stream) -> int:
        """The highest seq of a stream that is here (0: none), with or without holes below it."""
        ...

    def streams(self, under: str) -> dict[Stream, int]:
        """Up to which seq each stream of a source at or below `under` is held without a hole."""
        ...

    def mailboxes(self, under: str) -> dict[Mailbox, int]:
        """Up to which number each mailbox of a target at or below `under` is held without a hole."""
        ...

    def mail(self, mailbox: Mailbox, *, after: int, limit: int) -> list[Mail[E]]:
        """What fills the numbers > after, in order, up to the first hole (what was compacted away is none). Of
        several covers of one number the latest stands."""
        ...

    def floors(self, under: str) -> dict[Stream, int]:
        """Up to which seq events are missing, in streams of sources at or below `under`, because they were compacted
        away: they count as held."""
        ...

    def mail_floors(self, under: str) -> dict[Mailbox, int]:
        """The same for the numbers of the mailboxes of targets at or below `under`."""
        ...

    def aged(self, *, after: int, before: str, limit: int) -> list[Stored[E]]:
        """Events behind a row that were stored here before a time (RFC 3339 text), in row order, without the finals
        of this tier's own, which stay for ever: they tell who lost his log what was done."""
        ...

    def needed(self) -> Needed:
        """What compaction must leave."""
        ...

    def cursors(self) -> dict[str, Cursor]:
        """The cursor of this cluster for each origin."""
        ...

    def confirmed(self, neighbour: str) -> dict[Stream, int]:
        """What this neighbour said it holds committed."""
        ...

    def guarantees(self) -> list[Guarantee]:
        """With which guarantees the log has been written, in order of time; each up to the next. Before the
        first nothing is known. Empty where nothing is durable."""
        ...

    def place(self, consumer: str) -> int:
        """The row up to which this consumer has worked (0 at first)."""
        ...

    def command(self, id: str) -> CommandRow | None: ...
    def targets(self, command: str, *, after: str = "", limit: int = 100) -> list[TargetRow]:
        """The targets of a command in order of path."""
        ...

    def target(self, command: str, target: str) -> TargetRow | None: ...
    def unreceived(self, key: str, targets: Sequence[str]) -> list[TargetRow]:
        """Commands of this tier's own current life with this key whose target has not said that it
        received them."""
        ...

    def unfinished(
        self, target: str, *, after: tuple[str, int] = ("", 0), limit: int = ...
    ) -> list[tuple[TargetRow, E]]:
        """What `target` received and has no final for, in the order of its `received` events: all, or the first
        `limit` of those that are `received_at` a place behind `after`. `in-doubt` is a final here."""
        ...

    def commands(
        self,
        *,
        target: str | None = None,
        open_only: bool = False,
        limit: int = 100,
        before: str | None = None,
    ) -> list[CommandRow]:
        """Commands, the latest first; `before` is the id of the last one of the page before. Open is
        what some target has no final for, or is in doubt."""
        ...

    def summary(self, command: str) -> dict[str, int]:
        """How many targets of a command are in each state."""
        ...

    def oldest_open(self, limit: int = 10, *, state: str | None = None) -> list[TargetRow]:
        """Targets without a final, or in doubt (or those in the open state `state`), the oldest
        command first."""
        ...

    def waiting(self) -> dict[str, tuple[int, str]]:
        """For each target at or below this tier that has not received something: how much, and since when
        the oldest of it was accepted."""
        ...

    def counts(self) -> dict[str, Any]:
        """`{"events": n, "commands": n, "targets": {state: n}, "bytes": of the file, "reclaimable": bytes of it that
        are free for new events, "oldest": when the oldest event was stored here, or None}`."""
        ...

    def used(self) -> int:
        """Bytes of the log that are in use; the file may be larger."""
        ...

    def clusters(self, under: str) -> list[ClusterRow]:
        """The clusters at or below `under`, in order of path."""
        ...

    def cluster(self, path: str) -> ClusterRow | None: ...
    def keys(self, under: str) -> list[KeyRow]:
        """The keys of clusters at or below `under`, in order of path and key."""
        ...

    def objects(
        self, *, kind: str | None = None, namespace: str | None = None, name: str | None = None
    ) -> list[dict[str, Any]]:
        """Manifests, in order of kind, namespace and name."""
        ...

    def object(self, api_version: str, kind: str, namespace: str, name: str) -> dict[str, Any] | None: ...
    def observed(
        self,
        cluster: str,
        *,
        kind: str | None = None,
        namespace: str | None = None,
        name: str | None = None,
        after: tuple[str, str, str, str, str] | None = None,
        limit: int = 100,
        gone: bool = False,
    ) -> list[ObjectRow]:
        """The objects of a cluster, in the order of their keys; also those that are `gone`, if asked for."""
        ...


class Tx(Reader[E], Protocol[E]):
    """A writing transaction."""

    def append(self, draft: Draft[E]) -> E:
        """The event at the next place of this tier's own log."""
        ...

    def quarantine(self, events: Iterable[E]) -> list[E]:
        """Puts aside events that are not believed, each once: they stay out of the log, for a person to look at.
        Returns those that were not there yet."""
        ...

    def record(self, events: Iterable[E]) -> Recorded[E]:
        """Stores events of other sources (or of this source's earlier lives) exactly as they are.
        Files what is addressed at or below this tier in its mailboxes. An unknown event that claims
        a place in this very life is a fork. A fork that is quarantined already counts as a double. Mail with a number
        that another has is a fork as well: it is stored, but not in that mailbox."""
        ...

    def number(self, target: str) -> int:
        """Takes the next number of the mailbox (this tier, its epoch, target)."""
        ...

    def begin_life(self, above: str) -> str:
        """Begins a life of this log that sorts after `above` and all before, and returns its epoch; what
        is appended from now on belongs to it."""
        ...

    def move_cursor(self, origin: str, cursor: Cursor) -> None: ...
    def confirm(self, neighbour: str, held: Mapping[Stream, int]) -> None: ...
    def move_place(self, consumer: str, row: int) -> None: ...
    def drop(self, events: Sequence[Stored[E]], *, through: int) -> None:
        """Removes events for good. What they filled counts as held, and what projections tell from the events up to
        the row `through` is kept beside the log, so that it survives a rebuild. What is gone already is passed over."""
        ...

    def skip(self, streams: Mapping[Stream, int], mailboxes: Mapping[Mailbox, int]) -> None:
        """What is missing up to these numbers will not come: where it was, it was compacted away. It counts as held;
        only for streams and mailboxes at or below this tier."""
        ...


class Log(Protocol[E]):
    """One tier's event log."""

    @property
    def source(self) -> str: ...
    @property
    def epoch(self) -> str:
        """This life of the log; epochs of one source sort as text, later lives higher."""
        ...

    @property
    def commits(self) -> Times:
        """How long the commits of this process took; one commit may serve many writes."""
        ...

    def write(
        self,
        op: Callable[[Tx[E]], T],
        *,
        keep: bool = False,
        lazy: bool = False,
        aside: bool = False,
        long: bool = False,
    ) -> Future[T]:
        """Runs op in the next group; the future has its result after the commit. Ops run in the order
        in which they are handed over. When the database refuses (a full disk), an op that is to be kept waits until
        it does not, in its place: no other that is kept overtakes it. It may run more than once then, and
        where it is not known whether it was committed, after it was. A lazy op alone starts no commit: it rides with
        the next that is not, or goes after a short while. An op that is put aside keeps its order among its like
        only: it goes after a short while, with others, and holds up none for which somebody waits. A long op
        takes milliseconds: it never runs on the event loop."""
        ...

    async def read(self, query: Callable[[Reader[E]], T], *, stale: bool = False) -> T:
        """The query's answer over all that is committed. What follows from the events is brought up to them first;
        if that can not be written (the disk is full) it is a StoreError, or, with `stale`, an answer that is behind."""
        ...

    async def flush(self) -> None:
        """Returns when everything that was handed to `write` before is committed, also what was put aside."""
        ...

    def follow(self, *, after: int = 0, types: Sequence[str] = ()) -> AsyncIterator[list[Stored[E]]]:
        """Committed events in row order, for ever; batches, never empty. No polling within a process."""
        ...

    def on_commit(self, listener: Callable[[list[E]], None]) -> None:
        """Calls listener on the event loop, after each commit of this process that appended events
        of this tier's own, with these events in order, before those who wait for the commit go on."""
        ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exc: object) -> None: ...

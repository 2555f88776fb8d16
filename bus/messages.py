"""The public messages: the local API of every tier, heartbeats, and those of the shims.

Each endpoint `ote.local.<name>` has a request and an answer; `docs/schemas/` holds them as JSON Schemas.
Paging is the same everywhere: an answer's `next` is the following request's `after`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from bus.contracts import (
    DEFAULT_LIMIT,
    Answer,
    Count,
    Kind,
    Limit,
    Line,
    PathText,
    Request,
    Row,
    Selector,
    Time,
    Ttl,
    Uuid,
    Verb,
    Wait,
)
from bus.join_messages import ApplicantsAnswer as ApplicantsAnswer
from bus.join_messages import ApplicantsRequest as ApplicantsRequest
from bus.join_messages import JoinTokenAnswer as JoinTokenAnswer
from bus.join_messages import JoinTokenRequest as JoinTokenRequest
from bus.join_messages import RejoinAnswer as RejoinAnswer
from bus.join_messages import RejoinRequest as RejoinRequest
from bus.link_messages import LinksAnswer as LinksAnswer
from bus.link_messages import LinksRequest as LinksRequest
from bus.object_messages import Object as Object
from bus.object_messages import ObjectsAnswer as ObjectsAnswer
from bus.object_messages import ObjectsRequest as ObjectsRequest
from bus.object_messages import UndoAnswer as UndoAnswer
from bus.object_messages import UndoRequest as UndoRequest
from bus.object_messages import WhyAnswer as WhyAnswer
from bus.object_messages import WhyRequest as WhyRequest
from bus.shim_messages import DescribeAnswer as DescribeAnswer
from bus.shim_messages import DescribeRequest as DescribeRequest
from bus.shim_messages import ExecuteAnswer as ExecuteAnswer
from bus.shim_messages import ExecuteRequest as ExecuteRequest
from bus.shim_messages import ShimError as ShimError
from bus.shim_messages import ShimVerb as ShimVerb
from bus.shim_messages import WatchAnswer as WatchAnswer
from bus.shim_messages import WatchRequest as WatchRequest

# Errors ------------------------------------------------------------------------------------------


class ErrorBody(Answer):
    """What is wrong, where, and what to do."""

    code: str
    message: str
    field: str | None = None
    hint: str | None = None


class ErrorAnswer(Answer):
    """The answer of every endpoint that could not do what was asked."""

    error: ErrorBody


# Commands ----------------------------------------------------------------------------------------


class Do(Request):
    """What a command asks of each cluster; without `shim`, of the cluster's default shim."""

    shim: Kind | None = None
    verb: Verb
    args: dict[str, Any] = Field(default_factory=dict)


class SubmitRequest(Request):
    """A command. The same `id` twice is the same command. With `wait`, the answer is a CommandAnswer: when
    all targets are final, or the time is over."""

    to: Selector
    do: Do
    ttl: Ttl | None = None
    key: Line | None = None
    lane: Line | None = None
    wait: Wait | None = None
    actor: Line | None = None
    id: Uuid | None = None


class SubmitAnswer(Answer):
    """Recorded; `targets` are the first 100 of `count` paths."""

    id: Uuid
    state: Literal["accepted"]
    count: Count
    targets: list[str]


class CommandRequest(Request):
    """How far is this command? `limit` and `after` (a path) page its targets. With `wait`, the answer
    comes when something on that page has changed, or the time is over."""

    id: Uuid
    limit: Limit = DEFAULT_LIMIT
    after: PathText | None = None
    wait: Wait | None = None


TargetState = Literal[
    "accepted",
    "received",
    "started",
    "succeeded",
    "failed",
    "expired",
    "superseded",
    "cancelled",
    "in-doubt",
    "refused",
    "overdue",
    "superseding",
    "cancelling",
]
"""`accepted` to `refused` are what the target said; the last three what the origin expects of it."""


class Receipts(Answer):
    """When each step was taken, by the clock of who took it; `stored` says it for each tier on the way."""

    accepted: str | None = None
    stored: dict[str, str] = Field(default_factory=dict)
    delivered: str | None = None
    started: str | None = None
    executed: str | None = None
    observed: str | None = None


class TargetError(Answer):
    """Why a target did not succeed."""

    code: str
    message: str


class TargetAnswer(Answer):
    """One command at one target; `number` is its place in the target's mailbox."""

    state: TargetState
    number: Count
    receipts: Receipts
    result: Any = None
    error: TargetError | None = None


class CommandAnswer(Answer):
    """A command with a page of its targets; `summary` counts all of them by state."""

    id: Uuid
    to: str
    do: Do
    actor: str | None
    submitted: str
    targets: dict[str, TargetAnswer]
    summary: dict[str, Count]
    next: str | None = None


class CommandsRequest(Request):
    """The commands this tier knows, newest first: those with a target among `on`, those `pending`, meaning
    that not all targets are final. `after` is an id."""

    on: Selector | None = None
    pending: bool | None = None
    limit: Limit = DEFAULT_LIMIT
    after: Uuid | None = None


class CommandLine(Answer):
    """One command in a list."""

    id: Uuid
    to: str
    do: Do
    actor: str | None
    submitted: str
    count: Count
    summary: dict[str, Count]
    key: str | None = None
    expiresat: str | None = None


class CommandsAnswer(Answer):
    """A page of commands."""

    commands: list[CommandLine]
    next: str | None = None


class CancelRequest(Request):
    """Take a command back where it was not delivered: everywhere, or at `target`."""

    id: Uuid
    target: PathText | None = None
    actor: Line | None = None


class CancelAnswer(Answer):
    """Where it is being taken back; `targets` are the first 100 of `count` paths."""

    id: Uuid
    state: Literal["cancelling"]
    count: Count
    targets: list[str]


class ResolveRequest(Request):
    """Decide what is in doubt: it took effect, it did not, or do it again."""

    id: Uuid
    target: PathText
    as_: Literal["done", "failed", "retry"] = Field(alias="as")
    actor: Line | None = None


class ResolveAnswer(Answer):
    """Recorded; the target will act on it."""

    id: Uuid
    target: str
    as_: Literal["done", "failed", "retry"] = Field(alias="as")


class RetryRequest(Request):
    """Try a command again at `target`, where it failed, expired, was refused or is in doubt. `ttl`: of the new
    command, if not as long as that of the old one; `new`: its id, the same twice is the same retry."""

    id: Uuid
    target: PathText
    ttl: Ttl | None = None
    new: Uuid | None = None
    actor: Line | None = None


class RetryAnswer(Answer):
    """`id` is the command to follow: a new one, or the same where it was in doubt; `retries` is the old one."""

    id: Uuid
    target: str
    retries: Uuid


class TagRequest(Request):
    """Change the tags of the cluster `path`, or of this one: a value for each key in `set` ("" for a tag without
    one), and `unset` keys. It is a command of the shim `tier`, and is answered as submit answers."""

    path: PathText | None = None
    set: dict[str, str] = Field(default_factory=dict)
    unset: list[str] = Field(default_factory=list)
    wait: Wait | None = None
    actor: Line | None = None


# Live queries ------------------------------------------------------------------------------------


class AskRequest(Request):
    """What do these clusters say now? Nothing is recorded: only verbs that change nothing may be asked. Of the
    selected clusters those behind `after` are asked, at most `limit`, in order of path; the answer comes when
    all of them that are up have answered, or after `timeout` seconds."""

    to: Selector
    do: Do
    timeout: Wait = 5.0
    limit: Limit = DEFAULT_LIMIT
    after: PathText | None = None


class Said(Answer):
    """What one cluster said."""

    ok: bool
    result: Any = None
    error: TargetError | None = None


class AskAnswer(Answer):
    """What the clusters of this page said, and why others did not: `missing` names them, each with the reason.
    `count` is how many clusters are selected in all."""

    to: str
    do: Do
    count: Count
    answers: dict[str, Said]
    missing: dict[str, str]
    next: str | None = None


# Clusters ----------------------------------------------------------------------------------------


class ClustersRequest(Request):
    """The clusters this tier knows, in order of path; `after` is a path."""

    select: Selector | None = None
    limit: Limit = DEFAULT_LIMIT
    after: PathText | None = None


class Lag(Answer):
    """How far what this tier holds of a cluster is behind."""

    events: Count
    seconds: float


class Cluster(Answer):
    """One cluster: `tags` as text (`camera`, `zone=eu`), the kinds of its `shims` with the default first.
    `reason` says why it is offline where it is not its own link; `resources` are what is free there, and `clock` says
    by how many seconds its clock is ahead of this tier's, where that is known: of a tier's own children."""

    path: str
    name: str
    tags: list[str]
    state: Literal["online", "offline", "unknown"]
    since: str | None = None
    reason: str | None = None
    parent: str | None
    attached_to: str | None
    shims: list[str]
    lag: Lag
    last_seen: str | None
    version: str | None = None
    resources: dict[str, float] = {}
    clock: float | None = None


class ClustersAnswer(Answer):
    """A page of clusters."""

    clusters: list[Cluster]
    next: str | None = None


class ResolveSelectorRequest(Request):
    """Which clusters would a command with this selector go to? In order of path; `after` is a path."""

    select: Selector
    shim: Kind | None = None
    limit: Limit = DEFAULT_LIMIT
    after: PathText | None = None


class ResolveSelectorAnswer(Answer):
    """A page of them; `count` is how many there are in all."""

    targets: list[str]
    count: Count
    next: str | None = None


# The log and the tier ----------------------------------------------------------------------------


class LogRequest(Request):
    """Events of this tier's log behind row `after` and ahead of row `before`. `source` is a path or `under:PATH`,
    `subject` may hold NATS wildcards, `since` and `until` are compared with the events' time, both inclusive.
    `latest` asks for the end of that instead of its beginning. With `wait`, the answer comes when there is at least
    one event, or the time is over."""

    after: Row | None = None
    before: Row | None = None
    limit: Limit = DEFAULT_LIMIT
    type: Line | None = None
    source: str | None = Field(None, min_length=1, max_length=1000)
    subject: str | None = Field(None, min_length=1, max_length=1000)
    since: Time | None = None
    until: Time | None = None
    latest: bool | None = None
    wait: Wait | None = None


class LogAnswer(Answer):
    """CloudEvents in the order of this tier's log; `next` is the `after` of the next request, `first` the row of the
    first event: the `before` of a request for those ahead of it. Large events come fewer at a time: only an answer
    without any says that there are no more."""

    events: list[dict[str, Any]]
    next: Row
    first: Row | None = None


class StatusRequest(Request):
    """How is this tier?"""


class Link(Answer):
    """The way to the parent; a root has none. `clock`: by how many seconds the parent's clock is ahead."""

    parent: str | None
    state: Literal["root", "up", "down", "refused"]
    since: str | None = None
    reason: str | None = None
    clock: float | None = None


class Offline(Answer):
    """A cluster that is away."""

    path: str
    since: str
    reason: str | None = None


class Clusters(Answer):
    """How many are there, and how many are `away`: `offline` lists the first 1,000, the topmost first."""

    online: Count
    away: Count = 0
    offline: list[Offline]


class OpenTarget(Answer):
    """A command at a target that is not final."""

    command: Uuid
    target: str
    state: TargetState
    since: str


class Commands(Answer):
    """At how many targets one is `open`, and in doubt (`doubts`); the oldest that are not delivered, and in doubt."""

    open: Count
    oldest: list[OpenTarget]
    doubts: Count
    in_doubt: list[OpenTarget]


class Disk(Answer):
    """The tier's log and the disk it is on. `oldest` is when the oldest event was stored here, `reclaimable` what of
    the file's `bytes` is free for new events. What was committed since `synchronous_since` survives a power cut if
    `synchronous` is FULL. `trouble` is why nothing can be written: the tier accepts no commands until it can. While
    it `waits`, its log was lost, and it executes nothing until an ancestor has given back what it holds of it."""

    events: Count
    bytes: Count
    free_bytes: Count
    oldest: str | None = None
    reclaimable: Count = 0
    trouble: str | None = None
    waits: bool = False
    synchronous: str | None = None
    synchronous_since: str | None = None


class StatusAnswer(Answer):
    """A tier: `uptime` in seconds, `metrics` the URL for Prometheus, `backlog` counts what waits, by kind."""

    path: str
    version: str
    epoch: str
    instance: str
    uptime: float
    metrics: str | None = None
    link: Link
    clusters: Clusters
    commands: Commands
    backlog: dict[str, Count]
    log: Disk


# Between tiers -----------------------------------------------------------------------------------


class Heartbeat(Answer):
    """A living cluster. `instance` is new with each start, `epoch` the life of its log; `held` counts the
    events of its subtree that it holds, `behind` those it knows of and lacks, by cluster; `load` is the load
    average, `resources` what is free; `via` is the sibling that passes its link on to the parent, if one does."""

    path: PathText
    instance: str
    epoch: str
    held: Count
    behind: dict[str, Count] = {}
    time: Time
    load: float
    resources: dict[str, float]
    version: str
    via: str | None = None

"""The public messages about objects: what clusters have, why, and what was before. Re-exported by `bus.messages`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from bus.contracts import DEFAULT_LIMIT, Answer, Count, Limit, Line, PathText, Request, Selector, Time, Ttl, Uuid

Place = Annotated[str, Field(min_length=1, max_length=2000)]
"""Where the next page begins; only the tier that gave it can read it."""


class ObjectsRequest(Request):
    """The objects of the clusters at or below this tier, or of those `on`, in order of cluster, kind, namespace and
    name; as the log tells them, so also of clusters that are away. `at` asks how they were then; `after` is the
    `next` of the page before."""

    on: Selector | None = None
    kind: Line | None = None
    namespace: Line | None = None
    name: Line | None = None
    at: Time | None = None
    limit: Limit = DEFAULT_LIMIT
    after: Place | None = None


class Object(Answer):
    """One object of a cluster: so since `since`, by the `command` that made it so, where one did; known to be so
    when its cluster was last heard of, at `seen`. `object` is the manifest; of one that is too large to travel only
    the names, and its size in bytes as `truncated`."""

    cluster: str
    state: Literal["online", "offline", "unknown"]
    seen: str | None
    shim: str
    apiVersion: str
    kind: str
    namespace: str
    name: str
    since: str
    command: str | None = None
    object: dict[str, Any]


class ObjectsAnswer(Answer):
    """A page of objects. It may hold fewer than asked for: only where there is no `next` it was the last."""

    objects: list[Object]
    next: str | None = None


class WhyRequest(Request):
    """Why is this object as it is? At the clusters `on`, or at all that have or had it. `changes` is how many of its
    changes are told, the latest first."""

    kind: Line
    name: Line
    namespace: Line | None = None
    on: Selector | None = None
    changes: Limit = 1
    limit: Limit = DEFAULT_LIMIT
    after: Place | None = None


class WhyCommand(Answer):
    """The command that led to a change; only its id where this tier does not know it. `state` and `receipts` are those
    of the cluster that has the object."""

    id: Uuid
    verb: str | None = None
    to: str | None = None
    actor: str | None = None
    origin: str | None = None
    submitted: str | None = None
    state: str | None = None
    receipts: dict[str, Any] = Field(default_factory=dict)


class WhyChange(Answer):
    """A change of an object at `time`, told by `event`. Without `command` no command of ours led to it."""

    time: str
    event: Uuid
    gone: bool
    command: WhyCommand | None = None


class WhyObject(Answer):
    """An object of a cluster, and its changes, the latest first. `lost`: the log does not tell all of them any more."""

    cluster: str
    state: Literal["online", "offline", "unknown"]
    seen: str | None
    shim: str
    apiVersion: str
    kind: str
    namespace: str
    name: str
    gone: bool
    changes: list[WhyChange]
    lost: bool


class WhyAnswer(Answer):
    """A page of objects of this name."""

    objects: list[WhyObject]
    next: str | None = None


class UndoRequest(Request):
    """Bring back what was before an apply or delete: at all its targets, or at those `on`. With `dry_run` it is only
    told what would be done. `force` undoes also what others have changed since. `limit` and `after` (a path) page the
    targets that are told."""

    id: Uuid
    on: Selector | None = None
    dry_run: bool | None = None
    force: bool | None = None
    ttl: Ttl | None = None
    actor: Line | None = None
    limit: Limit = DEFAULT_LIMIT
    after: PathText | None = None


class UndoStep(Answer):
    """What is done to one object: `apply` the manifest, or `delete` what it names."""

    verb: Literal["apply", "delete"]
    manifest: dict[str, Any]


class UndoTarget(Answer):
    """What undo does at one target, and why not more."""

    state: Literal["undo", "nothing", "refused"]
    steps: list[UndoStep]
    reasons: list[str]


class UndoCommand(Answer):
    """A command that was submitted; `targets` are the first 100 of `count` paths."""

    id: Uuid
    verb: str
    count: Count
    targets: list[str]


class UndoAnswer(Answer):
    """The commands that were submitted (none with `dry_run`), the targets counted by state, and a page of them."""

    id: Uuid
    commands: list[UndoCommand]
    summary: dict[str, Count]
    targets: dict[str, UndoTarget]
    next: str | None = None

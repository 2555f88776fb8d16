"""The public messages about objects: what clusters have, and why. Re-exported by `bus.messages`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from bus.contracts import DEFAULT_LIMIT, Answer, Limit, Line, Request, Selector, Time

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

"""The objects of the clusters at and below this tier, as the log tells them: now, or as they were."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from bus.errors import BadRequest, NotFound
from bus.event import Event, now
from bus.messages import ObjectsRequest, WhyRequest
from bus.types import OBSERVED
from services.controller import history, views
from services.controller.history import Past
from services.controller.overview import Overview
from services.controller.registry import Registry
from services.tier.runtime import Runtime
from store.api import ObjectRow, Reader, Stored
from store.memory.past import objects_at

#: Bytes of manifests in one answer.
PAGE_BYTES = 400_000
#: Events that are read at once.
_BATCH = 500

_Key = tuple[str, str, str, str, str]


class Objects:
    """What `ote.local.objects` and `ote.local.why` say."""

    def __init__(self, runtime: Runtime, registry: Registry, overview: Overview) -> None:
        self._runtime = runtime
        self._registry = registry
        self._overview = overview

    async def objects(self, request: ObjectsRequest) -> dict[str, Any]:
        """`{"objects": [...], "next"?}`, in order of cluster, kind, namespace and name."""
        first, after = _place(request.after)
        clusters = [path for path in self.clusters(request.on) if path >= first]
        await self._runtime.log.flush()

        def read(reader: Reader[Event]) -> tuple[list[ObjectRow], bool]:
            source = reader if request.at is None else _past(reader, request.at, clusters)
            return _page(_rows(source, clusters, request, first, after), request.limit)

        rows, more = await self._runtime.log.read(read)
        out: dict[str, Any] = {"objects": [self._told(row) for row in rows]}
        if more:
            out["next"] = json.dumps([rows[-1].cluster, *rows[-1].key])
        return out

    async def why(self, request: WhyRequest) -> dict[str, Any]:
        """`{"objects": [{..., "changes": [...]}], "next"?}`: each change with the command that led to it."""
        first, after = _place(request.after)
        clusters = [path for path in self.clusters(request.on) if path >= first]
        await self._runtime.log.flush()

        def read(reader: Reader[Event]) -> tuple[list[ObjectRow], bool, list[dict[str, Any]]]:
            rows, more = _page(_rows(reader, clusters, request, first, after, gone=True), request.limit)
            return rows, more, [_explained(reader, row, request.changes) for row in rows]

        rows, more, told = await self._runtime.log.read(read)
        if not rows and not after:
            raise NotFound(
                f"no cluster here has told of a {request.kind} {request.name!r}",
                field="name",
                hint="`ote get objects` lists what is known",
            )
        out: dict[str, Any] = {"objects": [{**self._head(row), **one} for row, one in zip(rows, told, strict=True)]}
        if more:
            out["next"] = json.dumps([rows[-1].cluster, *rows[-1].key])
        return out

    def clusters(self, selector: str | None) -> list[str]:
        """The selected clusters, or all, in order of path."""
        if selector is None:
            return sorted(self._registry.snapshot.rows)
        return sorted(self._registry.resolve(selector, "on"))

    def _told(self, row: ObjectRow) -> dict[str, Any]:
        out = {**self._head(row), "since": row.since, "object": dict(row.object)}
        return out | {"command": row.command} if row.command else out

    def _head(self, row: ObjectRow) -> dict[str, Any]:
        state, seen = self._overview.seen(row.cluster)
        return {
            "cluster": row.cluster,
            "state": state,
            "seen": seen,
            "shim": row.shim,
            "apiVersion": row.api_version,
            "kind": row.kind,
            "namespace": row.namespace,
            "name": row.name,
        }


def _place(after: str | None) -> tuple[str, _Key | None]:
    """The cluster with which a page begins, and the key after which."""
    if after is None:
        return "", None
    try:
        cluster, *key = json.loads(after)
        if isinstance(cluster, str) and len(key) == 5 and all(isinstance(part, str) for part in key):
            return cluster, tuple(key)
    except ValueError:
        pass
    raise BadRequest("this is not the `next` of a page of objects", field="after", hint="leave it out to begin anew")


def _rows(
    reader: Reader[Event],
    clusters: Iterable[str],
    request: ObjectsRequest | WhyRequest,
    first: str,
    after: _Key | None,
    *,
    gone: bool = False,
) -> Iterator[ObjectRow]:
    for cluster in clusters:
        yield from reader.observed(
            cluster,
            kind=request.kind,
            namespace=request.namespace,
            name=request.name,
            after=after if cluster == first else None,
            limit=request.limit + 1,
            gone=gone,
        )


def _page(rows: Iterable[ObjectRow], limit: int) -> tuple[list[ObjectRow], bool]:
    """As many as an answer holds, and whether there are more."""
    page: list[ObjectRow] = []
    size = 0
    for row in rows:
        size += len(json.dumps(row.object, default=str))
        if page and (len(page) == limit or size > PAGE_BYTES):
            return page, True
        page.append(row)
    return page, False


def _past(reader: Reader[Event], time: str, clusters: list[str]) -> Reader[Event]:
    """A reader of the objects as they were."""
    oldest = reader.events(limit=1)
    begun = oldest[0].event.time if oldest else now()
    if time < begun:
        raise NotFound(
            f"the log of {reader.source} reaches back to {begun}, not to {time}",
            field="at",
            hint="ask for a later time",
        )
    only = clusters[0] if len(clusters) == 1 else None
    return objects_at(reader.source, time, _told_by(reader, only))


def _told_by(reader: Reader[Event], source: str | None) -> Iterator[Stored[Event]]:
    after = 0
    while page := reader.events(after=after, limit=_BATCH, types=(OBSERVED,), source=source):
        yield from page
        after = page[-1].row


def _explained(reader: Reader[Event], row: ObjectRow, count: int) -> dict[str, Any]:
    found, whole = history.latest(reader, row, count)
    return {
        "gone": row.gone,
        "changes": [_change(reader, row.cluster, past) for past in found],
        "lost": not whole,
    }


def _change(reader: Reader[Event], cluster: str, past: Past) -> dict[str, Any]:
    change = past.change
    out: dict[str, Any] = {"time": change.time, "event": past.event.id, "gone": change.gone}
    return out | {"command": _command(reader, cluster, change.command)} if change.command else out


def _command(reader: Reader[Event], cluster: str, id: str) -> dict[str, Any]:
    out: dict[str, Any] = {"id": id}
    if (command := reader.command(id)) is not None:
        out |= {"verb": command.do.get("verb"), "to": command.selector, "actor": command.actor}
        out |= {"origin": command.origin, "submitted": command.submitted}
    if (target := reader.target(id, cluster)) is not None:
        progress = views.progress_of(target)
        out |= {"state": progress.state, "receipts": progress.receipts}
    return out

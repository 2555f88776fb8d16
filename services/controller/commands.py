"""Commands at this tier: submit, look at, cancel, resolve. What the local API offers, over the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bus import turns
from bus.errors import BadRequest, NotFound, Refused
from bus.event import Event, format_time, new_id, parse_time
from bus.messages import (
    CancelRequest,
    CommandRequest,
    CommandsRequest,
    Do,
    ResolveRequest,
    RetryRequest,
    SubmitRequest,
    TagRequest,
)
from bus.types import FINALS
from services.controller import views
from services.controller.delivery import submission
from services.controller.delivery.submission import Order, Target
from services.controller.registry import Registry
from services.controller.tracker import Tracker
from services.tier import tagging
from services.tier.runtime import Runtime
from services.tier.settings import TIER_SHIM
from store.api import CommandRow, Reader, TargetRow, Tx

FINAL_STATES = frozenset(FINALS.values())
#: Targets that are listed in an answer, unless more are asked for.
LISTED = 100


class Commands:
    """The commands of one tier."""

    def __init__(self, runtime: Runtime, registry: Registry, tracker: Tracker) -> None:
        self._runtime = runtime
        self._registry = registry
        self._tracker = tracker

    # -- submit ------------------------------------------------------------------------------------

    async def submit(self, request: SubmitRequest) -> dict[str, Any]:
        """Records a command for the clusters that it selects; answers after the commit, or, with `wait`,
        when all have reported or the time is up."""
        order = _order(request)
        try:
            paths = self.addressees(order.selector, order.do.get("shim"))
        except NotFound:
            # Who has come a moment ago may be seen already, and not be here yet.
            await self._runtime.catch_up()
            await self._registry.refresh()
            paths = self.addressees(order.selector, order.do.get("shim"))
        targets = [Target(path, self._registry.epoch(path)) for path in paths]
        chunks = submission.plan(targets, self._registry.common_tag)
        if request.wait is None:
            events = await self._write(order, chunks)
            return self._accepted(order.id, paths) if events else await self._accepted_before(order.id)
        watch = self._tracker.watch(order.id)
        try:
            events = await self._write(order, chunks)
            turns.rest()
            if not events:
                return await self._wait(order.id, request.wait)
            watch.arm(views.accepted(events))
            await watch.done(request.wait)
            return views.fresh(order, events, watch.targets, LISTED)
        finally:
            self._tracker.forget(order.id, watch)

    async def _write(self, order: Order, chunks: Sequence[submission.Chunk]) -> list[Event]:
        limit = self._runtime.bus.max_payload
        return await self._runtime.commit(lambda tx: submission.submit(tx, order, chunks, limit))

    def addressees(self, selector: str, kind: str | None, field: str = "to") -> list[str]:
        """The selected clusters that have the shim which the command needs (any, if kind is None)."""
        selected = self._registry.resolve(selector, field)
        able = [path for path in selected if self._registry.snapshot.shim(path, kind)]
        if not able:
            what = f"the shim {kind!r}" if kind else "a shim"
            raise BadRequest(
                f"none of the {len(selected)} selected clusters has {what}: {', '.join(selected[:5])}",
                field=field,
                hint="`ote get clusters -o wide` shows the shims of each",
            )
        return able

    @staticmethod
    def _accepted(id: str, paths: Sequence[str]) -> dict[str, Any]:
        return {"id": id, "state": "accepted", "count": len(paths), "targets": list(paths[:LISTED])}

    async def _accepted_before(self, id: str) -> dict[str, Any]:
        rows = await self._runtime.log.read(lambda reader: submission.all_targets(reader, id))
        return self._accepted(id, [row.target for row in rows])

    async def tag(self, request: TagRequest) -> dict[str, Any]:
        """Changes the tags of one cluster: a command to the tier that it is."""
        args = {"set": request.set, "unset": request.unset}
        tagging.changes(args)
        path = request.path or self._runtime.path
        if path not in self._registry.snapshot.rows:
            raise NotFound(
                f"there is no cluster {path} at or below {self._runtime.path}",
                field="path",
                hint="`ote get clusters` lists them",
            )
        do = Do(shim=TIER_SHIM, verb="tag", args=args)
        return await self.submit(SubmitRequest(to=f"path:{path}", do=do, wait=request.wait, actor=request.actor))

    # -- look --------------------------------------------------------------------------------------

    async def command(self, request: CommandRequest) -> dict[str, Any]:
        """One command and what became of it; with `wait`, when that changes, is over, or the time is up."""
        page = (request.id, request.limit, request.after or "")
        if not request.wait:
            return await self._look(*page)
        watch = self._tracker.watch(request.id)
        try:
            answer = await self._look(*page)
            if answer["summary"].keys() <= FINAL_STATES:
                return answer
            await watch.moved(request.wait)
        finally:
            self._tracker.forget(request.id, watch)
        return await self._look(*page)

    async def _look(self, id: str, limit: int, after: str) -> dict[str, Any]:

        def read(reader: Reader[Event]) -> tuple[CommandRow | None, list[TargetRow], dict[str, int]]:
            return reader.command(id), reader.targets(id, after=after, limit=limit + 1), reader.summary(id)

        row, targets, summary = await self._runtime.look(read)
        if row is None:
            raise _unknown(id)
        return views.command(row, targets, summary, limit, after)

    async def _wait(self, id: str, timeout: float) -> dict[str, Any]:
        watch = self._tracker.watch(id)
        try:
            rows = await self._runtime.look(lambda reader: submission.all_targets(reader, id))
            watch.arm({row.target: views.progress_of(row) for row in rows})
            await watch.done(timeout)
        finally:
            self._tracker.forget(id, watch)
        return await self._look(id, LISTED, "")

    async def commands(self, request: CommandsRequest) -> dict[str, Any]:
        """The latest commands first, of all or of the selected clusters."""
        on = None if request.on is None else self._registry.resolve(request.on, "on")
        rows = await self._runtime.look(lambda reader: _listed(reader, on, request))
        listed = [{**views.head(row), "count": row.count, "summary": found} for row, found in rows]
        out: dict[str, Any] = {"commands": listed[: request.limit]}
        if len(rows) > request.limit:
            out["next"] = rows[request.limit - 1][0].id
        return out

    # -- change ------------------------------------------------------------------------------------

    async def cancel(self, request: CancelRequest) -> dict[str, Any]:
        """Withdraws a command where it has not been carried out; its targets decide, and report."""

        def op(tx: Tx[Event]) -> list[str]:
            row = submission.known_command(tx, request.id)
            if row.origin != tx.source:
                raise Refused(
                    f"command {request.id} was submitted at {row.origin}, and is cancelled there",
                    field="id",
                    hint=f"ask the tier {row.origin} (in a lab: --tier {row.origin})",
                )
            targets = submission.all_targets(tx, request.id)
            if request.target is not None:
                targets = [t for t in targets if t.target == request.target] or _no_target(request)
            return submission.cancel(tx, request.id, targets, request.actor)

        withdrawn = await self._runtime.commit(op, settled=True)
        return {"id": request.id, "state": "cancelling", "count": len(withdrawn), "targets": withdrawn[:LISTED]}

    async def resolve(self, request: ResolveRequest) -> dict[str, Any]:
        """Says what became of a command in doubt at one target."""

        def op(tx: Tx[Event]) -> None:
            command = submission.known_command(tx, request.id)
            row = tx.target(request.id, request.target)
            if row is None:
                _no_target(request)
            elif request.as_ == "retry" and row.state == "in-doubt" and self._is_over(command):
                raise Refused(
                    f"command {request.id} is in doubt at {row.target}, and its time to live is over:"
                    " it would not be done",
                    field="id",
                    hint="say what became of it, --as done or --as failed; what failed is sent anew by: ote retry ID"
                    f" --target {row.target} --ttl TIME",
                )
            else:
                submission.resolve(tx, row, request.as_, request.actor)

        await self._runtime.commit(op, settled=True)
        return {"id": request.id, "target": request.target, "as": request.as_}

    def _is_over(self, command: CommandRow) -> bool:
        """Whether its time to live is over; its origin's clock counts."""
        if command.expiresat is None:
            return False
        return self._runtime.clock.now_at(command.origin) >= parse_time(command.expiresat)

    async def retry(self, request: RetryRequest) -> dict[str, Any]:
        """Tries a command again at one target: what is in doubt under its own id, else as a new command."""
        await self._runtime.catch_up()

        def read(reader: Reader[Event]) -> Order | None:
            command, row = reader.command(request.id), reader.target(request.id, request.target)
            if command is None:
                raise _unknown(request.id)
            if row is None:
                _no_target(request)
            elif row.state != "in-doubt":
                return submission.anew(reader, command, row)
            return None

        answer = {"id": request.id, "target": request.target, "retries": request.id}
        order = await self._runtime.log.read(read)
        if order is None:
            await self.resolve(ResolveRequest(id=request.id, target=request.target, as_="retry", actor=request.actor))
            return answer
        ttl = request.ttl or order.ttl
        order = replace(
            order,
            id=request.new or order.id,
            is_new=request.new is None,
            actor=request.actor,
            ttl=ttl,
            expiresat=_expiry(ttl),
        )
        self.addressees(order.selector, order.do.get("shim"), "target")
        target = Target(request.target, self._registry.epoch(request.target))
        await self._write(order, submission.plan([target], self._registry.common_tag))
        return {**answer, "id": order.id}


def _expiry(ttl: float | None) -> str | None:
    return None if ttl is None else format_time(datetime.now(UTC) + timedelta(seconds=ttl))


def _order(request: SubmitRequest) -> Order:
    return Order(
        id=request.id or new_id(),
        selector=request.to,
        do=request.do.model_dump(exclude_none=True),
        actor=request.actor,
        key=request.key,
        lane=request.lane,
        ttl=request.ttl,
        expiresat=_expiry(request.ttl),
        is_new=request.id is None,
    )


def _no_target(request: CancelRequest | ResolveRequest | RetryRequest) -> list[TargetRow]:
    raise NotFound(
        f"command {request.id} was not sent to {request.target}",
        field="target",
        hint=f"`ote status {request.id}` lists its targets",
    )


def _unknown(id: str) -> NotFound:
    return NotFound(f"no command {id} here", field="id", hint="`ote get commands` lists what this tier knows")


def _listed(
    reader: Reader[Event], on: Sequence[str] | None, request: CommandsRequest
) -> list[tuple[CommandRow, dict[str, int]]]:
    """One more than asked for, if there are more."""
    found: dict[str, CommandRow] = {}
    for target in [None] if on is None else on:
        page = reader.commands(
            target=target, open_only=bool(request.pending), limit=request.limit + 1, before=request.after
        )
        found.update((row.id, row) for row in page)
    rows = sorted(found.values(), key=lambda row: (row.submitted, row.id), reverse=True)[: request.limit + 1]
    return [(row, reader.summary(row.id)) for row in rows]

"""`ote.local.undo`: plans for all targets of a command, and the commands that carry them out."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bus.errors import NotFound, Refused
from bus.event import Event, format_time, new_id
from bus.messages import UndoRequest
from services.controller.delivery import submission
from services.controller.delivery.submission import Order, Target
from services.controller.registry import Registry
from services.controller.undo import VERBS, Plan, orders, plan
from services.tier.runtime import Runtime
from store.api import CommandRow, Reader, Tx

#: Paths that are listed in an answer, and in the selector of a command.
LISTED, NAMED = 100, 20


class Undo:
    """Takes back what commands did."""

    def __init__(self, runtime: Runtime, registry: Registry) -> None:
        self._runtime = runtime
        self._registry = registry

    async def undo(self, request: UndoRequest) -> dict[str, Any]:
        """Submits the inverse of a command for each target where that is known, all in one transaction. Refused if
        the command is no apply or delete."""
        on = None if request.on is None else set(self._registry.resolve(request.on, "on"))
        await self._runtime.log.flush()

        def read(reader: Reader[Event]) -> tuple[CommandRow, list[Plan]]:
            command = reader.command(request.id)
            if command is None:
                raise NotFound(f"no command {request.id} here", field="id", hint="`ote get commands` lists them")
            if command.do.get("verb") not in VERBS:
                raise Refused(
                    f"command {request.id} is {command.do.get('verb')!r}: only {' and '.join(VERBS)} can be undone",
                    field="id",
                )
            rows = [row for row in submission.all_targets(reader, request.id) if on is None or row.target in on]
            return command, [plan(reader, command, row, force=bool(request.force)) for row in rows]

        command, plans = await self._runtime.log.read(read)
        if not plans:
            raise NotFound(f"command {request.id} was sent to none of these clusters", field="on")
        submitted = [] if request.dry_run else await self._submit(request, command, plans)
        page = [one for one in plans if one.target > (request.after or "")]
        out: dict[str, Any] = {
            "id": request.id,
            "commands": submitted,
            "summary": dict(Counter(one.state for one in plans)),
            "targets": {one.target: _told(one) for one in page[: request.limit]},
        }
        return out | {"next": page[request.limit - 1].target} if len(page) > request.limit else out

    async def _submit(self, request: UndoRequest, command: CommandRow, plans: Sequence[Plan]) -> list[dict[str, Any]]:
        """Targets for which the same is to be done share a command."""
        groups: dict[str, list[str]] = defaultdict(list)
        for one in plans:
            for do in orders(command, one):
                groups[json.dumps(do, sort_keys=True)].append(one.target)
        made = [(_order(request, json.loads(do), paths), paths) for do, paths in groups.items()]
        limit = self._runtime.bus.max_payload

        def op(tx: Tx[Event]) -> None:
            for order, paths in made:
                targets = [Target(path, self._registry.epoch(path)) for path in paths]
                submission.submit(tx, order, submission.plan(targets, self._registry.common_tag), limit)

        if made:
            await self._runtime.commit(op)
        return [
            {"id": order.id, "verb": order.do["verb"], "count": len(paths), "targets": paths[:LISTED]}
            for order, paths in made
        ]


def _order(request: UndoRequest, do: Mapping[str, Any], paths: Sequence[str]) -> Order:
    expires = None
    if request.ttl is not None:
        expires = format_time(datetime.now(UTC) + timedelta(seconds=request.ttl))
    named = " or ".join(paths) if len(paths) <= NAMED else f"{' or '.join(paths[:NAMED])} or {len(paths) - NAMED} more"
    return Order(new_id(), named, do, actor=request.actor, ttl=request.ttl, expiresat=expires, is_new=True)


def _told(one: Plan) -> dict[str, Any]:
    steps = [{"verb": step.verb, "manifest": dict(step.manifest)} for step in one.steps]
    return {"state": one.state, "steps": steps, "reasons": one.reasons}

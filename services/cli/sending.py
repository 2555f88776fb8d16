"""What `apply`, `delete` and `run` share: submit, show where it goes, wait, show what came of it."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import Parameter

from bus.client import NoAnswer
from bus.errors import Unavailable
from bus.event import new_id
from services.cli.exits import Exit
from services.cli.local_api import LocalApi, local_api
from services.cli.options import Common, Span
from services.cli.printing import as_yaml, note, show, show_data, show_names
from services.cli.render import count_of
from services.cli.views.clusters import cluster_table
from services.cli.views.commands import doing, target_table, where_to
from services.cli.waiting import wait_for


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Sending:
    """Where a command goes, and how it may be overtaken."""

    on: Annotated[str, Parameter(metavar="SELECTOR")]
    """The clusters: site1, root.east.site1, under:root.east, tag:camera, like:cam, with and, or, not."""
    ttl: Span | None = None
    """Time to live: what a cluster has not started by then it does not start."""
    key: str | None = None
    """A newer command with the same key takes the place of older ones that were not delivered."""
    lane: str | None = None
    """Commands in one lane never overlap."""
    dry_run: bool = False
    """Only show which clusters it would go to."""


async def send(
    do: Mapping[str, Any],
    sending: Sending,
    wait: float | None,
    common: Common,
    *,
    full: bool = False,
    for_offline: bool = True,
) -> Exit:
    """Submits `do` ({"shim"?, "verb", "args"}); waits `wait` seconds (None: not at all), also for who is offline. With
    `full` results that are more than a line are printed whole."""
    async with local_api(common) as api:
        if sending.dry_run:
            return await _dry_run(api, do, sending, common)
        answer = await _submit(api, do, sending)
        if common.for_people:
            show(where_to("command", answer, "to"))
        if wait is None:
            if not common.for_people:
                _show_short(answer, common)
            return Exit.OK
        code = await wait_for(api, answer["id"], wait, for_offline=for_offline)
        await show_outcome(api, answer["id"], common, full)
        return code


async def _submit(api: LocalApi, do: Mapping[str, Any], sending: Sending) -> dict[str, Any]:
    id = new_id()
    options = {"ttl": sending.ttl, "key": sending.key, "lane": sending.lane}
    request = {"to": sending.on, "do": do, "id": id, "actor": actor(), **options}
    try:
        return await api.ask("submit", request)
    except NoAnswer as error:
        # The request may have arrived though the answer did not: the id tells.
        hint = f"it may have been accepted all the same; to see: ote status {id}"
        raise Unavailable(error.message, hint=hint) from error


async def _dry_run(api: LocalApi, do: Mapping[str, Any], sending: Sending, common: Common) -> Exit:
    targets = await api.resolved(sending.on, do.get("shim"))
    if common.output == "name":
        show_names(targets)
    elif not common.for_people:
        show_data({"to": sending.on, "do": do, "count": len(targets), "targets": targets}, common.output)
    else:
        note(f"dry run: {doing(do)} would go to {count_of(len(targets), 'cluster')}")
        clusters = [cluster for cluster in await api.clusters(sending.on) if cluster["path"] in set(targets)]
        show(cluster_table(clusters, datetime.now(UTC), wide=common.output == "wide"))
    return Exit.OK


def _show_short(answer: Mapping[str, Any], common: Common) -> None:
    if common.output == "name":
        show_names([answer["id"]])
    else:
        show_data(answer, common.output)


async def show_outcome(api: LocalApi, id: str, common: Common, full: bool) -> None:
    """What came of a command, target by target; with `full` also results that are more than a line."""
    whole = await api.whole_command(id)
    if not common.for_people:
        _show_short(whole, common)
        return
    show(target_table(whole["targets"], datetime.now(UTC), wide=common.output == "wide"))
    results = {path: target.get("result") for path, target in sorted(whole["targets"].items())}
    large = {path: result for path, result in results.items() if result and isinstance(result, (dict, list))}
    if full and large:
        show("\n" + as_yaml(large).rstrip())


def actor() -> str:
    """Who sends: user@host."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"

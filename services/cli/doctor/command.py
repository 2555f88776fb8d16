"""`ote doctor`: asks the tier twice, looks at this machine meanwhile, and tells what is wrong."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from bus.errors import BadRequest, OteError, Unavailable
from bus.event import format_time
from bus.types import FLOODED, FORKED, REFUSED_CLUSTER, REJECTED, RENEWED
from services.cli.doctor.finding import Finding, Severity, error, is_ill, worst_first
from services.cli.doctor.look import Look
from services.cli.doctor.machine import directory, program, the_log, tier_path
from services.cli.doctor.tree import judge
from services.cli.exits import Exit
from services.cli.local_api import PAGE, LocalApi, local_api
from services.cli.options import COMMON, Common
from services.cli.printing import show, show_data, show_names
from services.cli.render import count_of, safe
from services.cli.where import Place, place
from store.sql import is_remote

#: Seconds between the two looks at the tier.
PAUSE = 1.0
#: How long ago a twin, a fork, what was not believed, the loss of a log, or a flood, may have been seen to be told of.
TWINS, FORKS, FORGERIES, LOSSES = timedelta(hours=1), timedelta(days=30), timedelta(days=1), timedelta(days=1)
FLOODS = timedelta(hours=1)

STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}


async def doctor(
    *,
    state: Annotated[Path | None, Parameter(metavar="DIR")] = None,
    log: Annotated[str | None, Parameter(metavar="URL", env_var="OTE_TIER_LOG_URL")] = None,
    path: Annotated[str | None, Parameter(metavar="PATH")] = None,
    verify: bool = False,
    common: Common = COMMON,
) -> Exit:
    """Says in plain words what is wrong with a tier and the clusters below it, and what to do about each.

    It looks at the way to the parent, at clusters that are offline, refused or behind, at the backlog, at what is
    in doubt, at disks, clocks and versions; and on this machine at the program nats-server, and at the ports, the
    credential, the certificate and the log of the state directory. The exit code is 1 if something is wrong.

    For example:

        ote doctor
        ote doctor --state /var/lib/ote/site1 --verify
        ote doctor --log postgresql://ote@db.example/ote --path root
        ote doctor -o json

    Parameters
    ----------
    state
        The state directory of a tier on this machine, to look into; that of a lab's tier is found by itself.
    log
        The database that its log is in, if it is not in the state directory; also OTE_TIER_LOG_URL.
    path
        Whose log, where a database holds several; that of the tier on the state directory is found by itself.
    verify
        Verify its log also where that takes a while: logs up to 64 MB are verified anyway.
    """
    tier = _tier(common, state)
    state = state or (tier.state if isinstance(tier, Place) else None)
    if log is not None and not is_remote(log):
        raise BadRequest(
            f"{log!r} is no URL of a database", field="--log", hint="postgresql://USER@HOST/DATABASE; a file: --state"
        )
    machine = asyncio.create_task(asyncio.to_thread(_machine, state, log, path, verify), name="look at this machine")
    answered: str | None = None
    try:
        if isinstance(tier, OteError):
            raise tier
        answered, findings = await _ask(Common(output=common.output, server=tier.url))
    except OteError as away:
        findings = [error("tier", "", f"no tier answers: {away.message}", _how_to_reach(away, state))]
    findings += [*await machine, *program(needed=answered is None)]
    _print(answered, worst_first(findings), common)
    return Exit.FAILED if is_ill(findings) else Exit.OK


def _tier(common: Common, state: Path | None) -> Place | OteError:
    """The tier to talk to: what the options name, else the one that runs on the state directory. What is typed
    wrongly raises; that there is none is a finding."""
    named = common.server or common.lab or common.tier
    if state is not None and not named:
        try:
            return Place(str(json.loads((state / "tier.json").read_text())["nats"]), state)
        except (OSError, ValueError, KeyError, TypeError):
            return Unavailable(f"no tier runs on {state}")
    try:
        return place(common)
    except Unavailable as nowhere:
        return nowhere


async def _ask(common: Common) -> tuple[str, list[Finding]]:
    """(the tier's path, what is wrong with it and below it)."""
    async with local_api(common) as api:
        before = await _look(api)
        await asyncio.sleep(PAUSE)
        after = await _look(api)
    return after.status["path"], list(judge(before, after, datetime.now(UTC)))


async def _look(api: LocalApi) -> Look:
    return Look(
        status=await api.ask("status"),
        clusters=await api.clusters(),
        refused=await _told(api, REFUSED_CLUSTER, TWINS),
        forked=await _told(api, FORKED, FORKS),
        rejected=await _told(api, REJECTED, FORGERIES),
        renewed=await _told(api, RENEWED, LOSSES),
        flooded=await _told(api, FLOODED, FLOODS),
        links=await _links(api),
    )


async def _links(api: LocalApi) -> dict[str, Any]:
    try:
        return await api.ask("links")
    except Unavailable:
        return {}


async def _told(api: LocalApi, type: str, back: timedelta) -> list[dict[str, Any]]:
    request = {"type": type, "since": format_time(datetime.now(UTC) - back), "latest": True, "limit": PAGE}
    return list((await api.ask("log", request))["events"])


def _machine(state: Path | None, log: str | None, path: str | None, whole: bool) -> list[Finding]:
    found: list[Finding] = []
    if state is not None:
        found += directory(state, whole, log_is_elsewhere=log is not None)
        path = path or tier_path(state)
    return found if log is None else [*found, *the_log(log, whole, path)]


def _how_to_reach(away: OteError, state: Path | None) -> str:
    if state is not None:
        return f"see that it runs: ote tier --path PATH --state {state}; {state}/nats.log tells of its server"
    return f"{away.hint or 'see that it runs'}; ote doctor --state DIR looks into a tier's directory on this machine"


def _print(path: str | None, findings: list[Finding], common: Common) -> None:
    if common.output == "name":
        show_names(finding.check for finding in findings)
    elif common.for_people:
        show(Text("\n").join([_verdict(path, findings), *map(_paragraph, findings)]))
    else:
        rows = [{**asdict(finding), "severity": finding.severity.name.lower()} for finding in findings]
        show_data({"tier": path, "ok": not is_ill(findings), "findings": rows}, common.output)


def _verdict(path: str | None, findings: list[Finding]) -> Text:
    tier = safe(path) if path else "no tier was reached"
    if not is_ill(findings):
        return Text.assemble(f"{tier}: ", ("nothing is wrong", "green"))
    counted = [
        count_of(count, severity.name.lower())
        for severity in (Severity.ERROR, Severity.WARNING)
        if (count := sum(finding.severity is severity for finding in findings))
    ]
    return Text(f"{tier}: {', '.join(counted)}")


def _paragraph(finding: Finding) -> Text:
    name = finding.severity.name.lower()
    return Text.assemble(
        "\n", (name, STYLES[finding.severity]), f": {safe(finding.what)}\n  do: {safe(finding.remedy)}"
    )

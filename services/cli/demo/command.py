"""`ote demo`: the main job, end to end, on this machine."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from bus.errors import Refused
from services.cli.demo.plan import Plan, make_plan
from services.cli.demo.play import STEPS, play
from services.cli.demo.report import report_data, write_report
from services.cli.demo.screen import Screen
from services.cli.exits import Exit
from services.cli.lab.guard import guarded
from services.cli.lab.lab import Lab
from services.cli.lab.signals import surely
from services.cli.printing import note, show

#: Findings that are printed; the report has all.
SHOWN = 20


async def demo(
    *,
    seed: int | None = None,
    state: Annotated[Path | None, Parameter(metavar="DIR")] = None,
    keep: bool = False,
) -> Exit:
    """Plays the main job with real tiers.

    A shop is applied from the root to clusters four tiers down, links are cut, a process is killed, and in the end
    every log is audited. The exit code is 0 only if every promise held.

    For example:

        ote demo
        ote demo --seed 7 --state demo --keep

    Parameters
    ----------
    seed
        Chooses what is cut and killed: the seed that a run prints plays it again.
    state
        Where the tiers and the report live; a temporary directory, of which the report stays, if not given.
    keep
        Leave the tiers running.
    """
    plan = make_plan(random.randrange(10_000) if seed is None else seed)
    place = state or Path(tempfile.mkdtemp(prefix="ote-demo-"))
    return await guarded(_demo(plan, place, keep=keep, passing=state is None))


async def _demo(plan: Plan, place: Path, *, keep: bool, passing: bool) -> Exit:
    """`passing`: what the tiers know is removed, unless a promise was broken."""
    begun = time.monotonic()
    link = "hangs" if plan.hang else "is cut"
    show(Text(f"OTE Bus: one command, recorded before it is sent, in order, once. Seed {plan.seed}.", style="bold"))
    show(f"{plan.region} is cut off, the link of {plan.site} {link}, and the process of {plan.killed} is killed.")
    screen = Screen(STEPS)
    lab = Lab(place / "lab", say=screen.say)
    if any(tier.pids() for tier in lab.tiers.values()):
        raise Refused(f"a lab runs in {lab.directory}", field="--state", hint=f"ote lab down --state {lab.directory}")
    worthless = False
    try:
        run, audit = await play(plan, lab, screen)
        data = report_data(run, audit, screen.took, {path: str(tier.log) for path, tier in lab.tiers.items()})
        report = write_report(place, data)
        worthless = data["ok"]
    except asyncio.CancelledError:
        worthless = True
        raise
    finally:
        if not keep:
            await surely(_end(lab, remove=passing and worthless))
    _summarise(data, time.monotonic() - begun)
    show(f"report: {report}")
    if keep:
        show(f"the tiers go on; to look: export OTE_LAB={lab.directory}; to end them: ote lab down")
    return Exit.OK if data["ok"] else Exit.FAILED


async def _end(lab: Lab, *, remove: bool) -> None:
    """Nothing runs any more; what the tiers know stays, unless nobody will look at it."""
    await lab.down()
    if remove:
        shutil.rmtree(lab.directory)
    else:
        note(f"the tiers' logs are in {lab.directory}")


def _summarise(data: Mapping[str, Any], seconds: float) -> None:
    audit = data["audit"]
    show("")
    promises = {**audit["promises"], "whole again after healing": data["whole_after_seconds"] is not None}
    for promise, kept in promises.items():
        show(Text.assemble(("  kept    ", "green") if kept else ("  BROKEN  ", "bold red"), promise))
    for finding in audit["findings"][:SHOWN]:
        show(f"          {finding['promise']}: {finding['path']}: {finding['what']}")
    if more := len(audit["findings"][SHOWN:]):
        show(f"          and {more} more, in the report")
    counted = ", ".join(f"{count:,} {what}" for what, count in audit["counts"].items())
    show(f"\nlooked at {counted}; {seconds:.0f} s in all")
    verdict = ("every promise was kept", "bold green") if data["ok"] else ("a promise was broken", "bold red")
    show(Text.assemble(verdict, f" (play it again: ote demo --seed {data['seed']})"))

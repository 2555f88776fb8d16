"""`ote lab`: starts and stops a whole tree on this machine, and cuts its links."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.text import Text

import services.cli.demo
from bus.errors import Unavailable
from services.cli.exits import Exit
from services.cli.lab.guard import guarded
from services.cli.lab.lab import Lab, running
from services.cli.lab.status import as_data, as_table, status
from services.cli.options import Form
from services.cli.printing import note, show, show_data, show_names
from services.cli.where import DEFAULT_LAB, STATE_FILE

app = App(name="lab", help="Starts and stops a whole tree on this machine, and cuts its links.")

#: Seconds between looks whether a lab in the foreground still runs.
LOOK = 0.5


@Parameter(name="*")
@dataclass(frozen=True)
class LabOptions:
    """Which lab, and in which form to print."""

    state: Annotated[Path, Parameter(env_var="OTE_LAB", show_default=True, metavar="DIR")] = DEFAULT_LAB
    """The directory of the lab."""
    output: Annotated[Form, Parameter(name=["--output", "-o"], show_default=True)] = "table"
    """Tables for people; json, yaml or name for programs."""


OPTIONS = LabOptions()


@app.command
async def up(*, detach: bool = False, options: LabOptions = OPTIONS) -> Exit:
    """Starts the lab, or what of it does not run. It stays until Ctrl-C, which takes everything down.

    For example:

        ote lab up
        ote lab up --detach --state /tmp/lab

    Parameters
    ----------
    detach
        Return when the lab is up, and leave it running.
    """
    return await guarded(_up(_lab(options), detach, options))


async def _up(lab: Lab, detach: bool, options: LabOptions) -> Exit:
    if detach:
        await lab.up()
        _print_up(lab, options)
        return Exit.OK
    async with running(lab):
        _print_up(lab, options)
        note("Ctrl-C takes it down")
        await _while_it_runs(lab)
    return Exit.OK


@app.command(name="status")
def show_status(*, options: LabOptions = OPTIONS) -> Exit:
    """Shows each tier: whether it runs, its link, its processes, its log file. The exit code is 1 if one is not up.

    For example:

        ote lab status
    """
    lab = _known(options)
    found = status(lab)
    _print(as_data(found), as_table(found), list(found), options)
    return Exit.OK if all(tier.state == "up" for tier in found.values()) else Exit.FAILED


@app.command
async def down(*, options: LabOptions = OPTIONS) -> Exit:
    """Stops everything that runs of the lab. What its tiers know stays in the directory, for the next start.

    For example:

        ote lab down
    """
    return await guarded(_down(options))


async def _down(options: LabOptions) -> Exit:
    stopped = await _lab(options).down()
    said = f"the lab is down; processes ended: {len(stopped)}"
    _print({"stopped": stopped}, said if stopped else "nothing was running", map(str, stopped), options)
    return Exit.OK


@app.command
async def cut(path: str, /, *, hang: bool = False, options: LabOptions = OPTIONS) -> Exit:
    """Cuts the link between a tier and its parent.

    For example:

        ote lab cut root.east
        ote lab cut root.east.site1 --hang

    Parameters
    ----------
    path
        The tier: root.east.site1.
    hang
        Do not reset the link: let nothing through, and let nobody notice.
    """
    return await guarded(_cut(path, hang, options))


async def _cut(path: str, hang: bool, options: LabOptions) -> Exit:
    off = await _known(options).cut(path, hang=hang)
    said = f"the link of {path} {'hangs' if hang else 'is cut'}; cut off: {', '.join(off)}"
    _print({"path": path, "link": "hang" if hang else "cut", "cut_off": off}, said, off, options)
    return Exit.OK


@app.command
async def heal(path: str, /, *, options: LabOptions = OPTIONS) -> Exit:
    """Heals the link between a tier and its parent.

    For example:

        ote lab heal root.east

    Parameters
    ----------
    path
        The tier: root.east.site1.
    """
    return await guarded(_heal(path, options))


async def _heal(path: str, options: LabOptions) -> Exit:
    back = await _known(options).heal(path)
    said = f"the link of {path} is up; back: {', '.join(back)}"
    _print({"path": path, "link": "up", "back": back}, said, back, options)
    return Exit.OK


def _lab(options: LabOptions) -> Lab:
    return Lab(options.state, say=note)


def _known(options: LabOptions) -> Lab:
    lab = _lab(options)
    if not (lab.directory / STATE_FILE).exists():
        raise Unavailable(
            f"no lab in {options.state}: there is no {STATE_FILE}", field="--state", hint="start one: ote lab up"
        )
    return lab


async def _while_it_runs(lab: Lab) -> None:
    """Until somebody else takes it down; tells of tiers that end by themselves."""
    known: dict[str, str] = {}
    while lab.wiring.process() is not None:
        await asyncio.sleep(LOOK)
        states = {path: tier.state for path, tier in status(lab).items()}
        for path, state in states.items():
            if state != "up" and known.get(path, "up") == "up":
                note(f"{path} has ended; to start it again: ote lab up --detach --state {lab.directory}")
        known = states


def _print_up(lab: Lab, options: LabOptions) -> None:
    if options.output in ("table", "wide"):
        show(f"the lab is up: {len(lab.tiers)} tiers in {options.state}. What to type next:")
        for line in what_next(lab.directory):
            show(f"  {line}")
    else:
        _print(as_data(status(lab)), "", list(lab.tiers), options)


def what_next(directory: Path) -> list[str]:
    """Lines for the shell, for a lab in this directory."""
    ote = _program()
    shop = _shortest(Path(next(iter(services.cli.demo.__path__))) / "manifests")
    lines = [
        f"{ote} get clusters --tree",
        f"{ote} apply -f {shop} --on tag:camera --wait",
        f"{ote} lab cut root.east",
        f"{ote} apply -f {shop} --on under:root.east --tier root.east --wait",
        f"{ote} status",
        f"{ote} lab heal root.east",
        f"{ote} lab down",
    ]
    return lines if directory == DEFAULT_LAB.resolve() else [f"export OTE_LAB={directory}", *lines]


def _program() -> str:
    """How this program is called again."""
    if shutil.which("ote"):
        return "ote"
    called = Path(sys.argv[0])
    return "python -m services.cli" if called.name == "__main__.py" else _shortest(called)


def _shortest(path: Path) -> str:
    path = path.resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _print(data: dict[str, Any], text: Text | str, names: Iterable[str], options: LabOptions) -> None:
    if options.output == "name":
        show_names(names)
    elif options.output in ("table", "wide"):
        show(text)
    else:
        show_data(data, options.output)

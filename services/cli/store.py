"""`ote store`: a tier's log, checked and repaired where it lies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bus.errors import BadRequest, NotFound, OteError, Refused
from bus.event import Event
from services.cli.exits import Exit
from services.cli.options import Form
from services.cli.printing import error_console, is_live, note, show, show_data, show_names
from services.cli.render import count_of, table
from store.errors import LogDamaged, StoreError
from store.sql import is_remote, open_log, shown
from store.verify import Finding, verify
from store.whose import source_of

app = App(name="store", help="Checks and repairs a tier's log.")

Step = Callable[[str, int, int], None]

LOG_FILE = "log.db"


@Parameter(name="*")
@dataclass(frozen=True)
class Which:
    """Which log, and in which form to print."""

    state: Annotated[Path | None, Parameter(metavar="DIR")] = None
    """The state directory of a tier."""
    log: Annotated[str | None, Parameter(metavar="FILE|URL")] = None
    """The log file itself, or the database: postgresql://USER@HOST/DATABASE."""
    path: Annotated[str | None, Parameter(metavar="PATH")] = None
    """Whose log, where a database holds several."""
    output: Annotated[Form, Parameter(name=["--output", "-o"], show_default=True)] = "table"
    """Tables for people; json, yaml or name for programs."""

    def place(self) -> str:
        """The URL, or the file, which exists. BadRequest if not one of the two is given, NotFound if there is none."""
        if (self.state is None) == (self.log is None):
            raise BadRequest("give either --state DIR or --log FILE", hint="a tier's log is DIR/log.db")
        if self.log is not None and is_remote(self.log):
            return self.log
        file = Path(self.log) if self.log is not None else Path(self.state or ".") / LOG_FILE
        if not file.is_file():
            hint = "a tier's log is DIR/log.db (ote lab status), or a database: --log URL, as in --log-url"
            raise NotFound(f"there is no log at {file}", field="--log" if self.log else "--state", hint=hint)
        return str(file)


WHICH = Which()


@app.command(name="verify")
async def verify_log(*, which: Which = WHICH) -> Exit:
    """Checks a log.

    The file or database must be whole, each event what its checksum says, and all that is derived must follow from
    the events. Changes nothing; the tier may be running. The exit code is 1 if something is wrong.

    For example:

        ote store verify --state /var/lib/ote/site1
        ote store verify --log backup.db -o json
        ote store verify --log postgresql://ote@db.example/ote --path root
    """
    place = which.place()
    try:
        with _progress() as step:
            findings = await asyncio.to_thread(verify, place, Event.decode, step, source=which.path)
    except StoreError as error:
        raise _told(error) from error
    _show_findings(shown(place), findings, which.output)
    return Exit.FAILED if findings else Exit.OK


@app.command
async def rebuild(projection: str | None = None, /, *, which: Which = WHICH) -> None:
    """Drops what is derived from the events of a log, and derives it again. The events stay as they are.

    For example:

        ote store rebuild --state /var/lib/ote/site1
        ote store rebuild clusters --log /var/lib/ote/site1/log.db

    Parameters
    ----------
    projection
        Only this one; all if not given.
    """
    place = which.place()
    try:
        source = await asyncio.to_thread(source_of, place, which.path)
        with _progress() as step:
            async with open_log(place, source=source, decode=Event.decode) as log:
                await log.rebuild(projection, step)
    except KeyError as error:
        raise NotFound(str(error.args[0]), field="projection") from None
    except StoreError as error:
        raise _told(error) from error
    what = {"log": shown(place), "source": source, "rebuilt": projection or "all"}
    if which.output == "name":
        show_names([source])
    elif which.output in ("json", "yaml"):
        show_data(what, which.output)
    else:
        show(f"rebuilt {what['rebuilt']} of the log of {source}")


def _told(error: StoreError) -> OteError:
    hint = "ote store verify says what is wrong" if isinstance(error, LogDamaged) else None
    return Refused(str(error), field="--log", hint=hint)


def _show_findings(log: str, findings: list[Finding], form: Form) -> None:
    if form == "name":
        show_names(f"{finding.kind} {finding.where}" for finding in findings)
    elif form in ("json", "yaml"):
        show_data({"log": log, "findings": [asdict(finding) for finding in findings]}, form)
    elif findings:
        show(table(["IN", "WHERE", "WHAT"], [[finding.kind, finding.where, finding.what] for finding in findings]))
        show(f"\n{count_of(len(findings), 'finding')} in {log}")
        derived = all(finding.kind not in ("file", "event") for finding in findings)
        remedy = "stop the tier, then: ote store rebuild" if derived else "see Backup in docs/operations.md"
        note(f"hint: {remedy}")
    else:
        show(f"{log} is whole")


@contextmanager
def _progress() -> Iterator[Step]:
    """A bar for each step, where somebody watches."""
    if not is_live():
        yield lambda step, done, of: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=error_console(), transient=True) as bars:
        tasks = {}

        def show_step(step: str, done: int, of: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=of)
            bars.update(tasks[step], completed=done, total=of)

        yield show_step

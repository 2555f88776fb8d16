"""`ote store`: a tier's log, checked and repaired where it lies."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bus.errors import BadRequest, NotFound, OteError, Refused
from bus.event import Event
from services.cli.exits import Exit
from services.cli.options import Form, Size, Span
from services.cli.printing import error_console, is_live, note, show, show_data, show_names
from services.cli.render import count_of, size, table
from services.cli.vouching import voucher
from store.api import Guarantee
from store.compaction import Retention, compact
from store.errors import LogDamaged, StoreError
from store.sql import is_remote, open_log, shown
from store.verify import Finding, verify
from store.whose import guarantees_in, shrink, source_of

app = App(name="store", help="Checks, repairs and compacts a tier's log.")

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
    the events. In the state directory of a tier with credentials each event must be signed by its source. Says what the
    log's commits were worth, and when. Changes nothing; the tier may be running. The exit code
    is 1 if something is wrong.

    For example:

        ote store verify --state /var/lib/ote/site1
        ote store verify --log backup.db -o json
        ote store verify --log postgresql://ote@db.example/ote --path root
    """
    place = which.place()
    try:
        with _progress() as step:
            vouch = voucher(which.state or Path(place).parent) if which.state or not is_remote(place) else None
            findings = await asyncio.to_thread(verify, place, Event.decode, step, source=which.path, vouch=vouch)
        guarantees = [] if findings else await asyncio.to_thread(guarantees_in, place, which.path)
    except StoreError as error:
        raise _told(error) from error
    _show_findings(shown(place), findings, guarantees, which.output)
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


@app.command(name="compact")
async def compact_log(
    *,
    older_than: Span | None = None,
    to_size: Size | None = None,
    dry_run: bool = False,
    which: Which = WHICH,
) -> None:
    """Drops old events that nobody needs any more.

    What stays: all of open commands, what a path ancestor has not confirmed, the finals of this tier, the last command
    of each key, and the last word of each cluster. What projections tell survives. The tier may be running; the file
    shrinks only when it is not.

    For example:

        ote store compact --state /var/lib/ote/site1 --older-than 30d --dry-run
        ote store compact --log backup.db --to-size 500MB

    Parameters
    ----------
    older_than
        Drop what came longer ago (30d).
    to_size
        Drop the oldest until the log holds no more than this (2GB).
    dry_run
        Only tell what would go.
    """
    place = which.place()
    if older_than is None and to_size is None:
        raise BadRequest(
            "say what is to go", field="--older-than", hint="give --older-than TIME, --to-size SIZE, or both"
        )
    try:
        source = await asyncio.to_thread(source_of, place, which.path)
        with _progress() as step:
            async with open_log(place, source=source, decode=Event.decode) as log:
                bar = partial(step, "events")
                done = await compact(log, Retention(older_than, to_size), dry_run=dry_run, progress=bar)
                now = await log.read(lambda reader: int(reader.counts()["bytes"]))
        shrunk = not (dry_run or is_remote(place) or _is_running(Path(place)))
        if shrunk:
            now = await asyncio.to_thread(_shrink, Path(place))
    except StoreError as error:
        raise _told(error) from error
    what = {"log": shown(place), "source": source, "dry_run": dry_run, **asdict(done), "shrunk": shrunk, "bytes": now}
    if which.output == "name":
        show_names([source])
    elif which.output in ("json", "yaml"):
        show_data(what, which.output)
    else:
        _show_compacted(what)


def _shrink(file: Path) -> int:
    """Gives back what is free; how large the file is now."""
    shrink(file)
    return file.stat().st_size


def _show_compacted(what: Mapping[str, Any]) -> None:
    verb = "would drop" if what["dry_run"] else "dropped"
    show(f"{verb} {count_of(what['dropped'], 'event')} of the log of {what['source']}, about {size(what['freed'])}")
    if not what["dry_run"]:
        kept = "" if what["shrunk"] else "; what is free in it is filled with new events"
        show(f"{what['log']} takes {size(what['bytes'])}, {size(what['used'])} of it in use{kept}")


def _is_running(file: Path) -> bool:
    """Whether a tier has this log open, as far as its directory tells."""
    lock = file.with_name("tier.lock")
    if not lock.exists():
        return False
    with lock.open() as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _told(error: StoreError) -> OteError:
    hint = "ote store verify says what is wrong" if isinstance(error, LogDamaged) else None
    return Refused(str(error), field="--log", hint=hint)


def _show_findings(log: str, findings: list[Finding], guarantees: list[Guarantee], form: Form) -> None:
    if form == "name":
        show_names(f"{finding.kind} {finding.where}" for finding in findings)
    elif form in ("json", "yaml"):
        told = [guarantee._asdict() for guarantee in guarantees]
        show_data({"log": log, "findings": [asdict(each) for each in findings], "guarantees": told}, form)
    elif findings:
        show(table(["IN", "WHERE", "WHAT"], [[finding.kind, finding.where, finding.what] for finding in findings]))
        show(f"\n{count_of(len(findings), 'finding')} in {log}")
        derived = all(finding.kind not in ("file", "event") for finding in findings)
        remedy = "stop the tier, then: ote store rebuild" if derived else "see Backup in docs/operations.md"
        note(f"hint: {remedy}")
    else:
        show(f"{log} is whole")
        for guarantee in guarantees:
            worth = "survives a power cut" if guarantee.synchronous == "FULL" else "survives a crash, not a power cut"
            what = f"what came after row {guarantee.row}" if guarantee.row else "what is in it"
            show(f"{what} {worth} ({guarantee.synchronous} since {guarantee.since})")


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

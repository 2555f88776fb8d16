"""What waits at a tier and should not, judged. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from bus.event import parse_time
from services.cli.ages import age, since
from services.cli.doctor.finding import Finding, error, warning
from services.cli.doctor.look import Answer, Look
from services.cli.render import count_of

#: Seconds that a command may wait at a cluster that is there, and that a cluster may be behind.
PATIENCE, LAG = 60.0, 60.0
#: A backlog that grows is worth a word from so many commands on.
BACKLOG = 50


def stuck(look: Look, now: datetime) -> Iterator[Finding]:
    """Clusters that are there and do not take what waits for them."""
    online = {row["path"] for row in look.clusters if row["state"] == "online"}
    first: dict[str, Answer] = {}
    for target in look.status["commands"]["oldest"]:
        if target["target"] in online and (now - parse_time(target["since"])).total_seconds() > PATIENCE:
            first.setdefault(target["target"], target)
    for path, target in first.items():
        id = target["command"]
        what = f"{path} is online, and has not taken command {id} since {since(target['since'], now)}"
        yield warning(
            "backlog", path, what, f"see how far it is: ote status {id}; and what {path} says: ote doctor there"
        )


def growth(before: Look, after: Look) -> Iterator[Finding]:
    """More comes in than gets done."""
    me, old, new = after.status["path"], before.status["backlog"], after.status["backlog"]
    waits, waited = (sum(one.get(kind, 0) for kind in ("undelivered", "unfinished")) for one in (new, old))
    if waits > waited and waits >= BACKLOG:
        what = (
            f"the backlog grows: {count_of(waits, 'command')} at clusters are open, {waits - waited:,} more in a moment"
        )
        remedy = "see which clusters are slow: ote get commands --pending; --ttl and --key keep a backlog short"
        yield warning("backlog", me, what, remedy)
    if new.get("behind_gap", 0) and new["behind_gap"] == old.get("behind_gap", 0):
        what = f"{count_of(new['behind_gap'], 'event')} behind a gap that repair has not filled"
        yield warning("backlog", me, what, "see the link to the parent: what is missing comes from there")
    if (dropped := new.get("dropped_messages", 0)) > old.get("dropped_messages", 0):
        what = f"{me} is too slow for what comes in: {dropped:,} messages dropped since its start; repair brings them"
        yield warning("backlog", me, what, "see the load of this machine and the speed of its disk")


def behind(look: Look) -> Iterator[Finding]:
    """Clusters that are there, and of which little is known here."""
    for row in look.clusters:
        lag = row.get("lag") or {}
        if row["state"] == "online" and lag.get("events") and (lag.get("seconds") or 0) > LAG:
            what = f"{row['path']} is online and {count_of(lag['events'], 'event')} / {age(lag['seconds'])} behind"
            yield warning(
                "lag", row["path"], what, "a slow link or a slow machine: see its load, and the rate of its link"
            )


def doubt(status: Answer, now: datetime) -> Iterator[Finding]:
    """What a person must decide."""
    for target in status["commands"]["in_doubt"]:
        id, path, lasted = target["command"], target["target"], since(target["since"], now)
        what = f"command {id} is in doubt at {path} since {lasted}: it may have taken effect or not"
        remedy = f"look at {path}, then: ote resolve {id} --target {path} --as done|failed|retry"
        yield error("in-doubt", path, what, remedy)

"""Is a tree at rest, and what has it done to the world outside of its logs?

What the logs themselves must tell is audited by the demo's audit (`services.cli.demo.audit`), which reads
them anew; here is what it does not see.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bus.event import Event
from bus.paths import is_under
from bus.types import IN_DOUBT, RESOLVE, SUBMITTED, SUCCEEDED
from services.cli.demo.checks.agreement import AGREE
from services.cli.demo.checks.delivery import LOST
from services.cli.demo.checks.finding import Finding
from tests.faults.logs import LogView

Views = Mapping[str, LogView]
QUEUES = ("undelivered", "unfinished", "behind_gap")


def lacking(logs: Views, acknowledged: Mapping[str, Collection[str]]) -> list[str]:
    """What is still on its way: nothing, once a healed tree has come to rest."""
    return [*_open(logs, acknowledged), *_unshipped(logs), *_undelivered(logs)]


def _open(logs: Views, acknowledged: Mapping[str, Collection[str]]) -> Iterator[str]:
    for command, targets in acknowledged.items():
        for target in targets:
            if command not in logs[target].finals:
                yield f"{command} has no final at {target}"


def _unshipped(logs: Views) -> Iterator[str]:
    for path, log in logs.items():
        for above, other in logs.items():
            if is_under(path, above) and (lack := [*_lack(log, other, path)]):
                yield f"{above} lacks {len(lack)} events of {path}"


def _lack(log: LogView, other: LogView, path: str) -> Iterator[tuple[str, int]]:
    """The places of what this source has said, that the other neither holds nor was told anew after it was given up."""
    there = other.shared[path]
    said = {"", *there.values()}
    for place, what in log.shared[path].items():
        was_given_up = place[1] <= other.floors.get((path, place[0]), 0)
        if place not in there and not (was_given_up and what in said):
            yield place


def _undelivered(logs: Views) -> Iterator[str]:
    for path, log in logs.items():
        for origin, other in logs.items():
            if is_under(path, origin):
                sent = {slot for slot in other.slots if slot.origin == origin and is_under(slot.target, path)}
                if missing := sent - log.slots:
                    yield f"{path} lacks {len(missing)} numbers of {origin}: {sorted(missing)[:3]}"


def strangers(logs: Views) -> Iterator[str]:
    """Logs that hold what is for others."""
    for path, log in logs.items():
        for source in log.shared:
            if not is_under(source, path) and not is_under(path, source):
                yield f"{path} holds events of {source}"
        for event in log.mail:
            if not is_under(event.source, path) and not any(is_under(to.path, path) for to in event.to):
                yield f"{path} holds mail {event.id} for {[to.path for to in event.to]}"


def misdirected(logs: Views, acknowledged: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Commands that were acknowledged, and went to others, or not once in a life of their origin's log: a later one
    sends again what it does not know the end of."""
    sent: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, log in logs.items():
        for event in log.mail:
            if event.source == path and event.type == SUBMITTED:
                sent[event.data["command"]][event.epoch].extend(to.path for to in event.to)
    for command, targets in acknowledged.items():
        lives = list(map(sorted, sent[command].values()))
        whom = {target for life in lives for target in life}
        if whom != set(targets) or any(len(set(life)) != len(life) for life in lives):
            yield f"{command} was acknowledged for {sorted(targets)} and went to {lives}"


def excused(finding: Finding, logs: Views, losers: Collection[str]) -> bool:
    """Whether this is only what the lives of a log leave behind that has lost something: earlier ones have holes and
    forks, what they said is said again, and objects that were in the log are made again without a command. That
    what was acknowledged is somewhere is not excused, nor that logs differ in what such a log has said since."""
    if finding.promise == LOST or not losers:
        return False
    if finding.promise == AGREE:
        life = re.search(r"(root[\w.]*) \((\w+\.\w+)\)", finding.what)
        return life is None or (life[1] in losers and life[2] < logs[life[1]].epoch)
    return not losers.isdisjoint({finding.path, *re.findall(r"\broot[\w.]*", finding.what)})


def miscounted(log: LogView, counter: Path) -> Iterator[str]:
    """Where the counting shim has done what was not asked of it, or less, or twice, or out of order."""
    lines = [line.split() for line in counter.read_text().splitlines()]
    times = Counter(command for command, _, _ in lines)
    retries = Counter(e.data["command"] for e in log.mail if e.type == RESOLVE and e.data["as"] == "retry")
    for event in _for_counter(log):
        command, done = event.data["command"], times[event.data["command"]]
        finals = {final.type for final in log.finals[command]}
        if event.data["do"]["verb"] == "bump" and done > 1 + retries[command]:
            yield f"{log.path}: {command} was counted {done} times"
        if SUCCEEDED in finals and IN_DOUBT not in finals and not done:
            yield f"{log.path}: {command} succeeded and was not counted"
        if finals and not {SUCCEEDED, IN_DOUBT} & finals and done:
            yield f"{log.path}: {command} was counted and says {finals}"
    for command in times.keys() - log.received.keys():
        yield f"{log.path}: {command} was counted and never received"
    lanes = {event.data["command"]: event.data.get("lane") for event in _for_counter(log)}
    for lane in {None, *lanes.values()}:
        # What has a lane overlaps with other lanes, and with nothing else.
        mine = [command for command in times if command in log.received and lanes.get(command) in (lane, None)]
        turns = [log.received[command].seq or 0 for command in mine]
        if turns != sorted(turns):
            yield f"{log.path}: commands{f' of {lane}' if lane else ''} were counted out of order"


def recounted(log: LogView, counter: Path) -> Iterator[str]:
    """What must not be done twice and was, at a target that has lost its log: what it was asked may be lost too."""
    times = Counter(line.split()[0] for line in counter.read_text().splitlines() if line.endswith(" bump"))
    retries = Counter(e.data["command"] for e in log.mail if e.type == RESOLVE and e.data["as"] == "retry")
    yield from (f"{log.path}: {id} was counted {done} times" for id, done in times.items() if done > 1 + retries[id])


def waits(status: Mapping[str, Any], link: Mapping[str, Any]) -> Iterator[str]:
    """What a tier says that it waits for; what is in doubt waits for a person. A guest does not reach its parent."""
    if (count := status["commands"]["open"]) or (count := sum(status["backlog"][name] for name in QUEUES)):
        yield f"{count} wait: {status['commands']['oldest'][:3]}, {status['backlog']}"
    if link["attached_to"] == link["parent"] and status["link"]["state"] not in ("up", "root"):
        yield f"the link is {status['link']}"
    if status["log"]["trouble"] is not None:
        yield f"the log has trouble: {status['log']['trouble']}"


def misjudged(
    path: str,
    told: Iterable[Mapping[str, Any]],
    own: Mapping[str, Mapping[str, Any]],
    links: Mapping[str, Mapping[str, Any]],
) -> Iterator[str]:
    """Where what a tier tells of the clusters at or below it is not what they say of themselves: `own` is what each
    tells of itself, `links` where it is attached."""
    rows = {row["path"]: row for row in told}
    below = {other for other in own if is_under(other, path)}
    if rows.keys() != below:
        yield f"there are {sorted(rows)}, not {sorted(below)}"
    for other in rows.keys() & below:
        row, truth = rows[other], own[other]
        if row["state"] != "online":
            yield f"{other} is {row['state']}"
        if row["tags"] != truth["tags"]:
            yield f"{other} has the tags {row['tags']}, not {truth['tags']}"
        if other != path and row["attached_to"] != links[other]["attached_to"]:
            yield f"{other} is attached to {row['attached_to']}, not {links[other]['attached_to']}"


def _for_counter(log: LogView) -> Iterable[Event]:
    return (
        event
        for event in log.mail
        if event.type == SUBMITTED
        and event.data["do"].get("shim") == "counter"
        and any(to.path == log.path for to in event.to)
    )

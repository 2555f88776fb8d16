"""What a tier says of itself and of the clusters below it, judged. Pure: answers and the time go in, findings
come out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime

from services.cli.ages import since
from services.cli.doctor import waiting
from services.cli.doctor.finding import Finding, error, note, warning
from services.cli.doctor.look import Look
from services.cli.doctor.way_up import way_up
from services.cli.render import count_of, several, size

#: Seconds that a clock may be off.
SKEW = 2.0
#: Bytes: below the first a disk is nearly full, below the second it is as good as full.
LITTLE, NOTHING = 1e9, 100e6


def judge(before: Look, after: Look, now: datetime) -> Iterator[Finding]:
    """All that is wrong, from two looks a moment apart."""
    yield from way_up(after.status, after.links, now)
    yield from twins(after)
    yield from forks(after)
    yield from forgeries(after)
    yield from losses(after)
    yield from floods(after)
    yield from away(after, now)
    yield from waiting.stuck(after, now)
    yield from waiting.growth(before, after)
    yield from waiting.behind(after)
    yield from waiting.doubt(after.status, now)
    yield from disks(after)
    yield from clocks(after)
    yield from versions(after)


def twins(look: Look) -> Iterator[Finding]:
    """Second clusters with a path that is taken, which this tier has turned away lately."""
    latest = {event["data"].get("path"): event for event in look.refused}
    for path, event in latest.items():
        instance = event["data"].get("instance")
        what = f"a second cluster came as {path} at {event['time'][:19]}Z and was refused (instance {instance})"
        yield warning("twin", str(path), what, f"find where two tiers run with --path {path}, and stop or rename one")


def forks(look: Look) -> Iterator[Finding]:
    """Two events with one place in one log."""
    for event in look.forked:
        source = event["data"].get("source") or event["source"]
        what = f"the log of {source} has told two different things under one number ({event['time'][:19]}Z)"
        remedy = "was it started twice, on two copies of its state directory? Keep one: docs/operations.md, Lost logs"
        yield error("fork", str(source), what, remedy)


_NOT_BELIEVED = {
    "forged": "which it has not signed",
    "unsigned": "without its signature",
    "revoked": "signed with a key that was revoked",
    "unknown": "whose key nobody has told",
}


def forgeries(look: Look) -> Iterator[Finding]:
    """What came in somebody's name and was not believed."""
    latest = {(e["source"], e["data"].get("source"), e["data"].get("reason")): e for e in look.rejected}
    for (tier, source, reason), event in latest.items():
        how = _NOT_BELIEVED.get(str(reason), "that does not verify")
        what = (
            f"{tier} was sent something in the name of {source} {how}, last at {event['time'][:19]}Z"
            f" (by {event['data'].get('origin')}); it was not believed, and changed nothing"
        )
        if reason == "unknown":
            remedy = f"see that the parent of {source} has admitted it: ote log --type ote.cluster.admitted.v1"
            yield warning("signature", str(source), what, remedy)
            continue
        remedy = (
            f"find who has a credential for {source} or for a tier between it and {tier}, and revoke that;"
            " if it was restored from an old backup or lost its keys, it must join again"
        )
        yield error("signature", str(source), what, remedy)


#: What a log that begins another life says of the reason.
LOST = {
    "restored": "was restored from a copy, cut short, or gone",
    "lost": "was behind what {by} holds of it: restored from a copy, cut short, or gone",
    "forked": "is not the one that {by} knows: its cluster has run twice, on two copies of one state directory",
}


def losses(look: Look) -> Iterator[Finding]:
    """Logs that have lost something lately, and what became of them."""
    status = look.status
    if status["log"].get("waits"):
        what = f"the log of {status['path']} was lost: nothing is executed until an ancestor gives back what it has"
        yield error("lost", status["path"], what, "bring back the link to its parent; own commands wait until then")
    latest = {event["source"]: event for event in look.renewed if event["data"].get("why") in LOST}
    for path, event in latest.items():
        data = event["data"]
        why = LOST.get(data.get("why"), "was lost").format(by=data.get("shown_by", "its own marker"))
        issued = data.get("reissued", 0)
        again = f"; {count_of(issued, 'command')} without a final submitted again" if issued else ""
        what = f"at {event['time'][:19]}Z the log of {path} {why}; others gave back what they hold{again}"
        remedy = (
            "decide what is in doubt (ote status), and see what became of the disk; docs/operations.md, Lost logs,"
            " says what nobody can know"
        )
        kind = error if data.get("why") == "forked" else warning
        yield kind("lost", path, what, remedy)


def floods(look: Look) -> Iterator[Finding]:
    """Who has lately said more than any well-meaning cluster can."""
    latest = {(event["source"], event["data"].get("path")): event for event in look.flooded}
    for (tier, path), event in latest.items():
        data = event["data"]
        who = path or "somebody who gives no name"
        what = (
            f"{who} flooded {tier} at {event['time'][:19]}Z with {data.get('messages', 0):,} messages"
            f" ({size(data.get('bytes', 0))}) a second; what was too much was not listened to"
        )
        if data.get("cut_for"):
            what += f", and its link was cut for {data['cut_for']:.0f} s"
        remedy = (
            f"see what runs at {who}, and who else has its credential; it is let in again by itself, and repair brings"
            f" what is missing. If it does not end: ote revoke {who}"
        )
        yield warning("flood", str(who), what, remedy)


def away(look: Look, now: datetime) -> Iterator[Finding]:
    """Clusters that are offline: the topmost, each with how many are behind it."""
    waiting = Counter(target["target"] for target in look.status["commands"]["oldest"])
    offline = {row["path"]: row for row in look.status["clusters"]["offline"]}
    for path, row in offline.items():
        if (row.get("reason") or "").startswith("behind "):
            continue
        hidden = sum(other.startswith(f"{path}.") for other in offline)
        behind = f", and {count_of(hidden, 'cluster')} behind it" if hidden else ""
        wait = sum(count for target, count in waiting.items() if target == path or target.startswith(f"{path}."))
        kept = f"; {'at least ' if wait else ''}{count_of(wait, 'command')} waiting for it" if wait else ""
        what = f"{path} is offline since {since(row['since'], now)}{behind}{kept}"
        remedy = (
            "see that its machine and its ote tier run, and its link; ote doctor there says more."
            " Nothing is lost: it catches up by itself when it is back"
        )
        yield warning("offline", path, what, remedy)
    unknown = [row["path"] for row in look.clusters if row["state"] == "unknown"]
    if unknown:
        what = f"{count_of(len(unknown), 'cluster')} known only by hearsay, never seen here: {several(unknown)}"
        yield note("offline", unknown[0], what, "nothing, if they are new; else see that they run")


def disks(look: Look) -> Iterator[Finding]:
    """Disks without room."""
    me = look.status["path"]
    free = {row["path"]: row["resources"]["disk"] for row in look.clusters if (row.get("resources") or {}).get("disk")}
    free[me] = look.status["log"]["free_bytes"]
    for path, left in sorted(free.items()):
        if left < LITTLE:
            kind = error if left < NOTHING else warning
            what = f"{path} has {size(left)} left on the disk of its log; a full disk stops it from taking commands"
            yield kind(
                "disk", path, what, "make room, or move its state directory to a larger disk while it is stopped"
            )


def clocks(look: Look) -> Iterator[Finding]:
    """Clocks that are off: they order nothing, but --ttl and all times that people read go by them."""
    me, way = look.status["path"], look.status["link"]
    off = {row["path"]: row["clock"] for row in look.clusters if row.get("clock") is not None}
    if way.get("clock") is not None:
        off[way["parent"]] = way["clock"]
    for path, ahead in sorted(off.items()):
        if abs(ahead) > SKEW:
            way_off = f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} that of {me}"
            what = f"the clock of {path} is {way_off}: times mislead, and --ttl ends early or late"
            yield warning("clock", path, what, "keep both in step with NTP (chrony, systemd-timesyncd)")


def versions(look: Look) -> Iterator[Finding]:
    """Trees that are half upgraded."""
    by_version: dict[str, list[str]] = defaultdict(list)
    for row in look.clusters:
        if row.get("version"):
            by_version[row["version"]].append(row["path"])
    mine = look.status["version"]
    if len(by_version) > 1:
        others = "; ".join(
            f"{version}: {several(paths, 3)}" for version, paths in sorted(by_version.items()) if version != mine
        )
        what = f"versions differ: {look.status['path']} has {mine}; {others}"
        yield warning(
            "version", look.status["path"], what, "upgrade the rest, tier by tier: docs/operations.md, Upgrade"
        )

"""The way up, judged: whether the parent is dead, hung, refuses, or only its tier is silent, and what to do in each
case. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from services.cli.ages import since
from services.cli.doctor.finding import Finding, error, note, warning
from services.cli.doctor.look import Answer

#: What a probe of the parent's address says of it, and what to do there.
_SILENT = {
    "dead": (
        "nobody listens at {address}",
        "start {parent} (ote tier there), or see that {address} is its address and can be reached from here",
    ),
    "hung": (
        "{address} takes connections and says nothing: it hangs, or something in between swallows what is said",
        "see at its machine whether nats-server and ote tier are stopped or starved (ps, top), and start them again;"
        " else look for a firewall that drops",
    ),
}


def way_up(status: Answer, links: Answer, now: datetime) -> Iterator[Finding]:
    """What is wrong with the link to the parent, by what the tier says of itself and of its links."""
    way, me = status["link"], status["path"]
    lasted = since(way.get("since"), now)
    if way["state"] == "refused":
        what = f"{way['parent']} refuses {me} since {lasted}: {way.get('reason') or 'no reason given'}"
        remedy = f"one of the two is not {me}: stop it, or start it with another --path; then start this one again"
        yield error("twin", me, what, remedy)
    elif way["state"] == "down":
        reason = f" ({way['reason']})" if way.get("reason") else ""
        why, remedy = _why(way["parent"], links)
        what = (
            f"the parent {way['parent']} does not answer {me} since {lasted}{reason}: {why}; {me} goes on{_how(links)}"
        )
        yield warning("link", me, what, remedy)
    elif _is_away(links):
        what = f"{me} is attached to {links['attached_to']} since {since(_up(links).get('since'), now)}"
        why = f", not to its parent: {links['why']}" if links.get("why") else ", not to its parent"
        yield note("link", me, what + why, "nothing: it goes back by itself when its parent is healthy, or was told to")


def _why(parent: str, links: Answer) -> tuple[str, str]:
    """(why the parent does not answer, what to do about it)."""
    place = next((place for place in links.get("places", ()) if place["path"] == parent), None)
    nats_log = "nats.log in the state directory says how the link is (ote doctor --state DIR looks into it)"
    if place is None or place["health"] == "unknown":
        remedy = f"see that {parent} runs, and that the address in --parent can be reached from here; {nats_log}"
        return "nothing is known of it", remedy
    if place["health"] in _SILENT:
        why, remedy = _SILENT[place["health"]]
        words = {"parent": parent, "address": place["address"]}
        return why.format(**words), remedy.format(**words)
    if links.get("attached_to") == parent:
        return "its server is linked, but its tier is silent", f"see at {parent} that ote tier runs, and start it again"
    why = f"its server answers at {place['address']}, but there is no link: this one is not let in, or not believed"
    return why, f"see that the login, the credential or the certificate is good; {nats_log}"


def _how(links: Answer) -> str:
    return f" by way of {links['attached_to']}" if _is_away(links) else " by itself"


def _is_away(links: Answer) -> bool:
    return links.get("attached_to") not in (None, links.get("parent"))


def _up(links: Answer) -> Answer:
    return links.get("up") or {}

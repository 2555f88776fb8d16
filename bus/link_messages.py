"""The public messages of a tier's links: `ote.local.links`."""

from __future__ import annotations

from typing import Literal

from bus.contracts import Answer, Count, Request


class LinksRequest(Request):
    """To whom is this tier attached, who is attached to it, and where else could it be?"""


class Place(Answer):
    """Where a tier could attach: its parent, a sibling of that, or the grandparent; or the sibling of its own by way of
    which it could reach its parent. `address` is host:port; `health` is what a probe found a moment ago, and `took` how
    long the first word took, in seconds; through a sibling it is the parent's; a sibling that refuses looks dead."""

    path: str
    address: str
    relation: Literal["parent", "parent's sibling", "grandparent", "sibling"]
    health: Literal["good", "slow", "hung", "dead", "unknown"]
    took: float | None = None


class Wire(Answer):
    """A live link, as this tier's server counts it: round trip in seconds, traffic in and out of this server."""

    path: str
    rtt: float | None = None
    in_messages: Count = 0
    out_messages: Count = 0
    in_bytes: Count = 0
    out_bytes: Count = 0


class Uplink(Wire):
    """The link to `path`, since when it is there (None: it is not), and how often it came back."""

    since: str | None = None
    reconnects: Count = 0


class Below(Wire):
    """The link of a child or a guest; `via` is the sibling that passes it on, if one does."""

    via: str | None = None


class Relay(Answer):
    """What this tier does for siblings that have lost their way to the parent: at `address` (host:port) it passes
    their links on, at most so many, while it is `open`. `links` are those it holds now, also of probes; `siblings` are
    the clusters behind them, as the parent says."""

    address: str
    open: bool
    links: Count
    most: Count
    siblings: list[str]
    up_bytes: Count
    down_bytes: Count
    refused: Count


class GuestHere(Answer):
    """A cluster that has lost its own parent, and is attached here."""

    path: str
    state: Literal["online", "offline"]
    since: str


class LinksAnswer(Answer):
    """A tier's links. `parent` is where it belongs and `attached_to` where it is (None: nowhere), and `why`, if it was
    moved; `via` is the sibling that passes its link on, if one does; `moves` counts moves. `failover` says whether it
    would move. `below` are the links of children and guests; `most_guests` is how many this tier takes in, `relay` what
    it does for its siblings (None: nothing)."""

    path: str
    parent: str | None
    attached_to: str | None
    via: str | None = None
    why: str | None = None
    moves: Count = 0
    failover: bool
    drained: bool
    up: Uplink | None = None
    places: list[Place]
    below: list[Below]
    guests: list[GuestHere]
    most_guests: Count
    relay: Relay | None = None

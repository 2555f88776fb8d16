"""The public messages of a tier's links: `ote.local.links`."""

from __future__ import annotations

from typing import Literal

from bus.contracts import Answer, Count, Request


class LinksRequest(Request):
    """To whom is this tier attached, who is attached to it, and where else could it be?"""


class Place(Answer):
    """Where a tier could attach: its parent, a sibling of that, or the grandparent. `address` is host:port; `health` is
    what a probe found a moment ago, and `took` how long the first word took, in seconds."""

    path: str
    address: str
    relation: Literal["parent", "parent's sibling", "grandparent"]
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


class GuestHere(Answer):
    """A cluster that has lost its own parent, and is attached here."""

    path: str
    state: Literal["online", "offline"]
    since: str


class LinksAnswer(Answer):
    """A tier's links. `parent` is where it belongs and `attached_to` where it is (None: nowhere), and `why`, if it was
    moved; `moves` counts that. `failover` says whether it would move. `below` are the links of children and guests;
    `most_guests` is how many this tier takes in."""

    path: str
    parent: str | None
    attached_to: str | None
    why: str | None = None
    moves: Count = 0
    failover: bool
    drained: bool
    up: Uplink | None = None
    places: list[Place]
    below: list[Wire]
    guests: list[GuestHere]
    most_guests: Count

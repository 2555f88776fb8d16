"""The next moment of a registry: as if it had been made anew, without making all of it anew."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bus.paths import name, parent
from services.controller.registry import Snapshot
from store.api import ClusterRow


def row(path: str, **more: object) -> ClusterRow:
    there = ClusterRow(
        path=path, name=name(path), parent=parent(path), attached_to=parent(path), tags={}, shims=[], version=None,
        resources={}, instance=None, epoch="1", seq=1, state="online", since=None, announced="", last_seen=None,
    )  # fmt: skip
    return replace(there, **more)  # type: ignore[arg-type]


SITE = row("root.east.site1", leaf="site1:7422", relay="site1:7423")
GUEST = row("root.east.site2", attached_to="root.west", moved=("1", 7))
KNOWN = {each.path: each for each in (row("root.east", leaf="east:7422"), SITE, GUEST, row("root.east.site3"))}


@pytest.mark.parametrize(
    "changed",
    [
        row("root.east.site3", state="offline"),
        row("root.east.site4"),
        row("root.east.site4", leaf="site4:7422"),
        replace(SITE, leaf="site1:7423"),
        replace(SITE, leaf=""),
        replace(SITE, relay="site1:7424"),
        replace(SITE, drained=True),
        replace(SITE, attached_to="root", moved=("1", 8)),
        replace(GUEST, attached_to="root"),
        replace(GUEST, attached_to="root.east", moved=("1", 9)),
    ],
)
def test_is_what_reading_all_would_find(changed: ClusterRow) -> None:
    before = Snapshot(KNOWN)
    assert before.hosts and before.relays and before.guests
    after = before.merged({changed.path: changed})
    anew = Snapshot(KNOWN | {changed.path: changed})
    assert after.rows == anew.rows
    assert list(after.rows) == sorted(after.rows)
    assert (after.hosts, after.relays, after.guests) == (anew.hosts, anew.relays, anew.guests)


def test_keeps_what_a_cluster_changes_nothing_of() -> None:
    before = Snapshot(KNOWN)
    hosts, relays, guests = before.hosts, before.relays, before.guests
    after = before.merged({"root.east.site4": row("root.east.site4"), SITE.path: replace(SITE, state="offline")})
    assert after.hosts is hosts
    assert after.relays is relays
    assert after.guests is guests
    assert before.merged({"root.east.site4": row("root.east.site4", leaf="site4:7422")}).guests is guests

"""What is told of objects: each change once, in order, and small enough to travel."""

from __future__ import annotations

from typing import Any

from bus.event import Draft
from services.shims.causes import Causes
from services.shims.reports import CHUNK, OBJECT_LIMIT, Reports
from store.api import ObjectRow


def thing(name: str, value: str = "", **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"v": value}}


def told(drafts: list[Draft]) -> list[tuple[str, str | None, bool]]:
    """(name, command, gone) of each change, in order."""
    return [
        (change["object"]["metadata"]["name"], change.get("command"), change.get("gone", False))
        for draft in drafts
        for change in draft.data["changes"]
    ]


def row(name: str, digest: str, gone: bool = False) -> ObjectRow:
    names = ("root", "local", "v1", "ConfigMap", "", name)
    return ObjectRow(*names, {}, gone, digest, "t", None, "e0", "epoch")


def test_what_one_command_does_to_an_object_is_one_change_and_what_two_do_is_two() -> None:
    reports = Reports("root", "local")
    for command, value in (("c1", "1"), ("c1", "2"), ("c2", "3"), (None, "4"), (None, "5")):
        reports.see(thing("a", value), "t", command)
    [draft] = reports.take()
    assert told([draft]) == [("a", "c1", False), ("a", "c2", False), ("a", None, False)]
    assert [change["object"]["data"]["v"] for change in draft.data["changes"]] == ["2", "3", "5"]
    assert not any("prior" in change for change in draft.data["changes"])
    reports.see(thing("a"), "t", "c3", gone=True)
    [gone] = reports.take()
    assert gone.data["changes"][0]["prior"] == draft.id
    assert "data" not in gone.data["changes"][0]["object"]


def test_what_did_not_change_is_not_told_again() -> None:
    reports = Reports("root", "local")
    reports.see(thing("a", "1", managedFields=[1], resourceVersion="1"), "t")
    [draft] = reports.take()
    assert "managedFields" not in draft.data["changes"][0]["object"]["metadata"]
    digest = draft.data["changes"][0]["digest"]
    for again in (reports, Reports("root", "local", [row("a", digest), row("b", "x", gone=True)])):
        again.see(thing("a", "1", managedFields=[2], resourceVersion="2"), "t", "c1")
        again.see(thing("b"), "t", gone=True)
        assert again.take() == []
        again.see(thing("a", "2"), "t")
        assert len(again.take()) == 1


def test_what_is_not_among_all_is_gone() -> None:
    reports = Reports("root", "local", [row("a", "x"), row("b", "y"), row("c", "z", gone=True)])
    reports.see(thing("d"), "t")
    assert [each["metadata"]["name"] for each in reports.rest([("ConfigMap", "", "b", "v1")], "t")] == ["a", "d"]


def test_changes_travel_in_pieces_and_a_large_object_by_its_names() -> None:
    reports = Reports("root", "local")
    reports.see(thing("huge", "x" * OBJECT_LIMIT), "t")
    for number in range(5):
        reports.see(thing(f"n{number}", "x" * (CHUNK // 2 - 500)), "t")
    drafts = reports.take()
    assert [len(draft.data["changes"]) for draft in drafts] == [3, 2, 1]
    huge = drafts[0].data["changes"][0]["object"]
    assert huge["truncated"] > OBJECT_LIMIT
    assert "data" not in huge


def test_a_life_begins_with_a_mark_once_all_was_seen() -> None:
    reports = Reports("root", "local", whole=True)
    reports.see(thing("a"), "t")
    assert [draft.data.get("whole") for draft in reports.take(all=False)] == [None]
    assert [(draft.data["whole"], draft.data["changes"]) for draft in reports.take()] == [(True, [])]
    assert reports.take() == []


def test_what_has_no_name_is_no_object() -> None:
    reports = Reports("root", "local")
    for bad in ({}, {"metadata": 1}, {"kind": "Pod", "metadata": {}}, {"kind": 5, "metadata": {"name": "a"}}):
        assert reports.see(bad, "t") is None
    assert reports.take() == []


def test_a_change_is_put_down_to_the_only_command_at_work_on_the_object() -> None:
    causes = Causes()
    one, other = thing("one"), thing("other")
    causes.began("c1", {"manifest": one})
    look = causes.look()
    assert (look.cause(one), look.cause(other)) == ("c1", None)
    look.done()
    causes.began("c2", {"manifests": [one, other]})
    causes.ended("c1")
    look = causes.look()
    assert (look.cause(one), look.cause(other)) == (None, "c2")
    look.done()
    # What had ended before the last look has nothing to do with what the next one finds.
    assert causes.look().cause(one) == "c2"
    causes.began("c3", {})
    assert causes.look().cause(other) is None

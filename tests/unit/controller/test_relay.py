"""Who does not hear of whom: the ancestors that a cluster bypasses while it is attached elsewhere."""

from __future__ import annotations

import pytest

from services.controller.links.relay import _bypassed

GUESTS = {"root.a.x": "root.b"}


@pytest.mark.parametrize(
    ("path", "me", "bypassed"),
    [
        ("root.a.x", "root", ["root.a"]),
        ("root.a.x.cell", "root", ["root.a"]),
        ("root.a.y", "root", []),
        ("root.a", "root", []),
        ("root.a.x.cell", "root.a.x", []),
        ("root.a.x", "root.a", []),
    ],
)
def test_only_what_lies_between_the_guest_and_who_looks(path: str, me: str, bypassed: list[str]) -> None:
    assert _bypassed(path, GUESTS, me) == bypassed


def test_a_guest_of_its_grandparent_bypasses_its_parent_alone() -> None:
    guests = {"root.a.b.x": "root.a"}
    assert _bypassed("root.a.b.x", guests, "root") == ["root.a.b"]
    assert _bypassed("root.a.b.x", guests, "root.a") == ["root.a.b"]

"""Subtrees and subjects."""

from __future__ import annotations

import pytest

from store.lives import new_epoch, now
from store.paths import is_under, subject_pattern


@pytest.mark.parametrize(
    ("path", "scope", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b.c", "a.b", True),
        ("a.bc", "a.b", False),
        ("a", "a.b", False),
        ("a.b-c", "a.b", False),
    ],
)
def test_is_under(path: str, scope: str, expected: bool) -> None:
    assert is_under(path, scope) is expected


@pytest.mark.parametrize(
    ("subject", "matching", "others"),
    [
        ("a.b", ["a.b"], ["a.b.c", "axb", "a"]),
        ("a.*.c", ["a.b.c", "a.x-y.c"], ["a.b.x.c", "a..c", "a.c"]),
        ("a.>", ["a.b", "a.b.c"], ["a", "ab.c"]),
        (">", ["a", "a.b"], [""]),
        ("a.b+", ["a.b+"], ["a.bb"]),
        ("a.*", ["a.b"], ["a.b.c"]),
    ],
)
def test_subjects_match_as_nats_matches_them(subject: str, matching: list[str], others: list[str]) -> None:
    pattern = subject_pattern(subject)
    assert [each for each in matching + others if pattern.fullmatch(each)] == matching


def test_epochs_sort_as_text() -> None:
    epochs = [new_epoch()]
    for _ in range(300):
        epochs.append(new_epoch(epochs[-1]))
    assert epochs == sorted(epochs)
    assert epochs[0].startswith("00000001.")
    assert {len(epoch) for epoch in epochs} == {25}


def test_now_sorts_and_has_one_width() -> None:
    times = [now() for _ in range(50)]
    assert times == sorted(times)
    assert {len(time) for time in times} == {27}

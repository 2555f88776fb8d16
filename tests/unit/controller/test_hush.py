"""What happens again and again is said once, and how often it was."""

from __future__ import annotations

import pytest

from services.controller import hush
from services.controller.hush import Hush


def test_it_is_said_once_and_of_each_apart() -> None:
    quiet = Hush()
    assert [quiet.times("flood") for _ in range(1000)] == [1, *[0] * 999]
    assert quiet.times("other") == 1


def test_later_it_is_said_how_often_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = Hush()
    for _ in range(5):
        quiet.times("flood")
    monkeypatch.setattr(hush, "QUIET", 0.0)
    assert quiet.times("flood") == 5


def test_what_is_remembered_is_bounded() -> None:
    quiet = Hush()
    for number in range(3 * hush.REMEMBERED):
        assert quiet.times(number) == 1
    assert len(quiet._said) <= hush.REMEMBERED

from __future__ import annotations

import pytest

from bus.errors import ERRORS, BadRequest, OteError
from bus.types import FINALS
from services.cli.exits import FINAL, MEANINGS, Exit, complain, of_error, of_summary, one_error


@pytest.mark.parametrize(
    ("summary", "code"),
    [
        ({"succeeded": 3}, Exit.OK),
        ({"succeeded": 3, "failed": 0}, Exit.OK),
        ({"succeeded": 2, "failed": 1}, Exit.FAILED),
        ({"superseded": 1}, Exit.FAILED),
        ({"in-doubt": 1, "succeeded": 1}, Exit.FAILED),
        ({"failed": 1, "received": 1}, Exit.STILL_OPEN),
        ({"accepted": 1}, Exit.STILL_OPEN),
        ({}, Exit.OK),
    ],
)
def test_a_wait_ends_with_what_became_of_the_targets(summary: dict[str, int], code: Exit) -> None:
    assert of_summary(summary) is code


def test_finals_are_those_of_the_bus() -> None:
    assert set(FINALS.values()) == FINAL


def test_every_error_has_a_code_and_every_code_a_meaning() -> None:
    assert {code: of_error(kind("x")) for code, kind in ERRORS.items()} == {
        "internal": Exit.INTERNAL,
        "bad-message": Exit.BAD_INPUT,
        "bad-request": Exit.BAD_INPUT,
        "not-found": Exit.NOT_FOUND,
        "conflict": Exit.REFUSED,
        "unavailable": Exit.UNAVAILABLE,
        "refused": Exit.REFUSED,
    }
    assert set(MEANINGS) == set(Exit)


def test_an_error_is_one_or_two_safe_lines(capsys: pytest.CaptureFixture[str]) -> None:
    error = BadRequest("no cluster \x1b[2J\nsite9", field="to", hint="did you mean site1?")
    assert complain(error) is Exit.BAD_INPUT
    assert capsys.readouterr().err == "error: no cluster \\x1b[2J\\nsite9 (to)\nhint: did you mean site1?\n"


def test_what_nobody_foresaw_is_an_internal_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert complain(KeyError("x")) is Exit.INTERNAL
    said = capsys.readouterr().err
    assert "Traceback" not in said and "OTE_DEBUG" in said


def test_a_traceback_for_those_who_ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTE_DEBUG", "1")
    complain(KeyError("x"))
    assert "KeyError" in capsys.readouterr().err


def test_the_error_that_matters_in_a_group() -> None:
    ours, other = OteError("ours"), ValueError("other")
    assert one_error(ours) is ours
    assert one_error(BaseExceptionGroup("g", [other, BaseExceptionGroup("h", [ours])])) is ours
    assert one_error(BaseExceptionGroup("g", [BaseExceptionGroup("h", [other, KeyError()])])) is other

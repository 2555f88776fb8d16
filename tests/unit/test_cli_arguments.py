from __future__ import annotations

import pytest

from bus.errors import BadRequest
from services.cli.arguments import parse_arguments


def test_words_become_arguments() -> None:
    assert parse_arguments(["name=web", "replicas:=3", 'labels:={"a": 1}', "empty=", "equation=a=b"]) == {
        "name": "web",
        "replicas": 3,
        "labels": {"a": 1},
        "empty": "",
        "equation": "a=b",
    }
    assert parse_arguments([]) == {}


def test_one_object_is_all_arguments() -> None:
    assert parse_arguments(['{"name": "web", "n": 2}']) == {"name": "web", "n": 2}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["name"], "is no argument"),
        (["=x"], "is no argument"),
        ([":=1"], "is no argument"),
        (["n:=three"], "no JSON"),
        (["a=1", "a=2"], "given twice"),
        (["{broken"], "no JSON"),
        (["{}", "a=1"], "is no argument"),
    ],
)
def test_bad_words_are_named(words: list[str], said: str) -> None:
    with pytest.raises(BadRequest, match=said) as caught:
        parse_arguments(words)
    assert caught.value.field == "args"

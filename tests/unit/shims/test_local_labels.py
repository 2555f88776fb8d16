"""Label selectors as `kubectl -l` takes them."""

from __future__ import annotations

import pytest

from bus.errors import BadRequest
from services.shims.local.labels import label_test

LABELS = {"app": "web", "tier": "front", "canary": "", "example.com/zone": "eu"}


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web , tier = front", True),
        ("app=db", False),
        ("app!=db", True),
        ("missing!=x", True),
        ("app", True),
        ("!app", False),
        ("! missing", True),
        ("canary=", True),
        ("app in (web, db)", True),
        ("app in (db)", False),
        ("app notin (db)", True),
        ("missing notin (db)", True),
        ("missing in ()", False),
        ("example.com/zone=eu", True),
        ("in=x", False),
        ("app=web,missing", False),
    ],
)
def test_fits(selector: str, fits: bool) -> None:
    assert label_test(selector)(LABELS) is fits


@pytest.mark.parametrize(
    ("selector", "says"),
    [
        ("a b c", "at character 1"),
        ("app=web,,x", "at character 9"),
        ("app=web,x in y", "at character 9"),
        ("!app=web", "at character 1"),
        ("app=w)b", "at character 1"),
        ("-a=b", "must be a label key"),
        ("a=-b", "must be empty or letters"),
        ("a" * 64, "no more than 63"),
        (" " * 10_000 + "x y", "at character 1"),
    ],
)
def test_errors(selector: str, says: str) -> None:
    with pytest.raises(BadRequest) as caught:
        label_test(selector)
    assert caught.value.field == "labelSelector"
    assert says in caught.value.message

"""The tags of `ote tag` as people type them."""

from __future__ import annotations

import pytest

from bus.errors import BadRequest
from services.cli.tag import changes


def test_set_and_unset() -> None:
    assert changes(["camera", "zone=eu", "example.com/old-", "x="]) == {
        "set": {"camera": "", "zone": "eu", "x": ""},
        "unset": ["example.com/old"],
    }


@pytest.mark.parametrize("words", [["a b"], ["-"], ["zone=eu-"], ["zone", "zone-"], ["zone=eu", "zone=us"], [""]])
def test_what_is_no_tag_is_refused(words: list[str]) -> None:
    with pytest.raises(BadRequest) as caught:
        changes(words)
    assert caught.value.field == "tag"

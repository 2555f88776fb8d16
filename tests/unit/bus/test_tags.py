from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import tags
from bus.errors import BadRequest
from tests.unit.bus import strategies as given_


@given(given_.tags())
def test_a_legal_tag_keeps_its_form(text: str) -> None:
    tag = tags.parse_tag(text)
    assert tag == text
    key, value = tags.split(tag)
    assert tags.parse_tags([text]) == {key: value}
    assert tags.to_texts({key: value}) == [text]


def test_forms() -> None:
    assert tags.parse_tag("camera=") == "camera"
    assert tags.split(tags.parse_tag("zone=eu")) == ("zone", "eu")
    assert tags.parse_tags(["camera", "zone=eu", "camera="]) == {"camera": "", "zone": "eu"}
    assert tags.to_texts({"zone": "eu", "camera": ""}) == ["camera", "zone=eu"]
    assert tags.parse_tags(["example.com/App_1.x=V-2"]) == {"example.com/App_1.x": "V-2"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("=eu", "Kubernetes label"),
        ("zone=eu=us", "Kubernetes label"),
        ("zone =eu", "Kubernetes label"),
        ("-camera", "Kubernetes label"),
        ("camera-", "Kubernetes label"),
        ("cam*", "Kubernetes label"),
        ("camera\n", "Kubernetes label"),
        ("/camera", "Kubernetes label"),
        ("Example.com/camera", "Kubernetes label"),
        ("a/b/c", "Kubernetes label"),
        ("caméra", "Kubernetes label"),
        ("x" * 64, "too long"),
        ("zone=" + "x" * 64, "too long"),
        (".".join(["a" * 60] * 5) + "/x", "too long"),
        ("x" * 1_000_000, "too long"),
    ],
)
def test_an_illegal_tag_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says) as refused:
        tags.parse_tag(text)
    assert refused.value.field == "tags"
    assert refused.value.hint
    assert len(refused.value.message) < 300


def test_a_key_has_one_value() -> None:
    with pytest.raises(BadRequest, match="given twice"):
        tags.parse_tags(["zone=eu", "zone=us"])


@pytest.mark.parametrize("labels", [{"a=b": ""}, {"a": "b=c"}, {"": "x"}, {"a": "b c"}])
def test_an_illegal_dict_is_refused(labels: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        tags.to_texts(labels)


@given(st.dictionaries(given_.hostile, given_.hostile, max_size=3))
def test_hostile_dicts_round_trip_or_are_refused(labels: dict[str, str]) -> None:
    try:
        texts = tags.to_texts(labels)
    except BadRequest as error:
        assert error.message.isprintable()
    else:
        assert tags.parse_tags(texts) == labels

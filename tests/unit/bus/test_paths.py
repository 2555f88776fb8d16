from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import paths
from bus.errors import BadRequest
from tests.unit.bus import strategies as given_


@given(given_.paths)
def test_a_legal_path_is_taken_as_it_is(path: str) -> None:
    assert paths.parse_path(path) == path
    assert [paths.parse_name(name) for name in path.split(".")] == path.split(".")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("root.", "a name is empty"),
        (".root", "a name is empty"),
        ("root..site", "a name is empty"),
        ("Root", "RFC 1123"),
        ("root.site_1", "RFC 1123"),
        ("-root", "RFC 1123"),
        ("root-", "RFC 1123"),
        ("root.*", "RFC 1123"),
        ("root.>", "RFC 1123"),
        ("root.ünïcode", "RFC 1123"),
        ("root.१", "RFC 1123"),
        ("root\n", "RFC 1123"),
        ("root site", "RFC 1123"),
        ("x" * 64, "longer than 63"),
        ("x" * 300, "longer than 63"),
        (".".join(["a"] * 11), "has 11 names: the limit is 10"),
    ],
)
def test_an_illegal_path_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says) as refused:
        paths.parse_path(text, field="to")
    assert refused.value.field == "to"
    assert refused.value.hint
    assert len(refused.value.message) < 250


def test_a_name_is_one_label() -> None:
    with pytest.raises(BadRequest) as refused:
        paths.parse_name("Site 1.Kitchen")
    assert refused.value.field == "name"
    assert refused.value.hint == "try 'site-1-kitchen'"


def test_the_deepest_path_is_taken() -> None:
    deepest = ".".join(["a"] * paths.MAX_DEPTH)
    assert paths.depth(paths.parse_path(deepest)) == paths.MAX_DEPTH - 1


def test_what_is_above() -> None:
    assert paths.parent("root") is None
    assert paths.parent("root.east.site1") == "root.east"
    assert paths.name("root.east.site1") == "site1"
    assert paths.name("root") == "root"
    assert paths.depth("root") == 0
    assert paths.ancestors("root") == []
    assert paths.ancestors("root.east.site1.kitchen") == ["root.east.site1", "root.east", "root"]


@given(given_.paths)
def test_ancestors_are_the_chain_of_parents(path: str) -> None:
    chain = []
    above = paths.parent(path)
    while above is not None:
        chain.append(above)
        above = paths.parent(above)
    assert paths.ancestors(path) == chain
    assert len(chain) == paths.depth(path)


@pytest.mark.parametrize(
    ("path", "scope", "under"),
    [
        ("root.east", "root.east", True),
        ("root.east.site1", "root.east", True),
        ("root.east", "root.east.site1", False),
        ("root.eastern", "root.east", False),
        ("root.east-2.site1", "root.east", False),
        ("other.east", "root", False),
    ],
)
def test_is_under_includes_the_scope_and_respects_names(path: str, scope: str, under: bool) -> None:
    assert paths.is_under(path, scope) is under


@given(given_.paths, given_.paths)
def test_is_under_means_equal_or_an_ancestor(path: str, scope: str) -> None:
    for one, other in ((path, scope), (path, path[: path.rfind(".")] if "." in path else path)):
        assert paths.is_under(one, other) == (other == one or other in paths.ancestors(one))


@given(st.lists(given_.paths, min_size=1, max_size=8))
def test_common_scope_is_the_lowest_that_covers_all(some: list[str]) -> None:
    rooted = [f"root.{path}" for path in some]
    scope = paths.common_scope(rooted)
    assert all(paths.is_under(path, scope) for path in rooted)
    for lower in {path for each in rooted for path in [each, *paths.ancestors(each)]}:
        if all(paths.is_under(path, lower) for path in rooted):
            assert paths.is_under(scope, lower)


def test_common_scope_keeps_to_names() -> None:
    assert paths.common_scope(["root.a", "root.a-x", "root.a.b"]) == "root"
    assert paths.common_scope(["root.east.s1", "root.east.s2"]) == "root.east"
    for nothing in ([], ["root", "other"]):
        with pytest.raises(ValueError, match="no paths"):
            paths.common_scope(nothing)


@given(given_.hostile)
def test_hostile_text_is_a_path_or_a_clear_error(text: str) -> None:
    try:
        path = paths.parse_path(text)
    except BadRequest as error:
        assert error.message.isprintable()
        assert error.message.isascii()
    else:
        assert path == text
        assert not set(path) - set(given_.ALNUM + "-.")

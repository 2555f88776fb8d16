from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import paths, subjects, tags
from bus.errors import BadMessage, BadRequest
from tests.unit.bus import strategies as given_

LEGAL = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
SITE = "root.east.site1"


def matches(pattern: str, subject: str) -> bool:
    """What a NATS server would say."""
    want, have = pattern.split("."), subject.split(".")
    for index, token in enumerate(want):
        if token == ">":
            return len(have) > index
        if index >= len(have) or token not in ("*", have[index]):
            return False
    return len(want) == len(have)


def test_the_table_of_the_design() -> None:
    assert subjects.command(SITE) == "ote.cmd.root.east.site1"
    assert subjects.under("root.east") == "ote.under.root.east"
    assert subjects.tagged("camera", "root") == "ote.tag.camera.root"
    assert subjects.tagged("zone=eu", "root") == "ote.tag.zone_3Deu.root"
    assert subjects.event("ote.command.submitted.v1", SITE) == "ote.evt.command-submitted.root.east.site1"
    assert subjects.heartbeat(SITE) == "ote.hb.root.east.site1"
    assert subjects.sync(1, SITE) == "ote.sync.1.root.east.site1"
    assert subjects.ask(SITE) == "ote.ask.root.east.site1"
    assert subjects.ask_under("root") == "ote.askunder.root"
    assert subjects.ask_tag("camera", "root") == "ote.asktag.camera.root"
    assert subjects.local("submit") == "ote.local.submit"
    assert subjects.shim("k3s") == "ote.local.shim.k3s"
    assert subjects.shim("k3s", "execute") == "ote.local.shim.k3s.execute"


def test_subscriptions() -> None:
    assert subjects.commands_below("root.east") == ["ote.cmd.root.east.>"]
    assert subjects.scopes_of(SITE) == ["ote.under.root.east.site1", "ote.under.root.east", "ote.under.root"]
    assert subjects.unders_below("root.east") == ["ote.under.root.east.>"]
    assert subjects.tags_of("camera", "root.east") == ["ote.tag.camera.root.east", "ote.tag.camera.root"]
    assert subjects.tags_below("root.east") == ["ote.tag.*.root.east.>"]
    assert subjects.events_below("root.east") == "ote.evt.*.root.east.>"
    assert subjects.heartbeats_of_children("root.east") == "ote.hb.root.east.*"
    assert subjects.syncs_to("root.east") == "ote.sync.1.root.east.>"


@pytest.mark.parametrize(
    ("type", "token"),
    [
        ("ote.command.submitted.v1", "command-submitted"),
        ("ote.command.in-doubt.v12", "command-in-doubt"),
        ("ote.cluster.offline.v1", "cluster-offline"),
    ],
)
def test_type_tokens(type: str, token: str) -> None:
    assert subjects.type_token(type) == token


@pytest.mark.parametrize(
    "type", ["", "ote.command.v1", "command.submitted.v1", "ote.a.b.c.v1", "ote.a.b", "ote.a.*.v1"]
)
def test_what_is_no_type_is_refused(type: str) -> None:
    with pytest.raises(BadRequest) as refused:
        subjects.type_token(type)
    assert refused.value.field == "type"


@given(given_.tags())
def test_a_tag_is_one_legal_token_and_comes_back(tag: str) -> None:
    token = subjects.escape(tag)
    assert "." not in token
    assert LEGAL.fullmatch(token)
    assert len(token) <= subjects.MAX_TOKEN
    assert subjects.unescape(token) in (tag, None)
    if len(tag) * 3 <= subjects.MAX_TOKEN:
        assert subjects.unescape(token) == tag


@given(st.text(min_size=1))
def test_any_text_is_one_legal_token(text: str) -> None:
    token = subjects.escape(text)
    assert LEGAL.fullmatch(token)
    assert "." not in token
    assert len(token) <= subjects.MAX_TOKEN


@given(st.one_of(st.text(min_size=1), given_.tags()), st.one_of(st.text(min_size=1), given_.tags()))
def test_distinct_texts_have_distinct_tokens(one: str, other: str) -> None:
    assert (subjects.escape(one) == subjects.escape(other)) == (one == other)


def test_long_tags_that_differ_at_the_end_have_distinct_tokens() -> None:
    long = "example.com/" + "a" * 60 + "="
    tokens = {subjects.escape(long + "b" * 60 + end) for end in "0123456789"}
    assert len(tokens) == 10
    assert all(subjects.unescape(token) is None for token in tokens)


def test_a_text_that_looks_escaped_is_not_confused() -> None:
    assert subjects.escape("a_3Db") != subjects.escape("a=b")
    assert subjects.unescape(subjects.escape("a__b")) == "a__b"


@pytest.mark.parametrize("token", ["", "a.b", "_", "_3", "_3d", "a b", "*", ">"])
def test_what_no_token_of_ours_is_refused(token: str) -> None:
    with pytest.raises(BadMessage):
        subjects.unescape(token)


@given(given_.paths, given_.tags())
def test_every_subject_is_legal_and_short(path: str, tag: str) -> None:
    built = [
        subjects.command(path),
        subjects.under(path),
        subjects.tagged(tag, path),
        subjects.event("ote.command.in-doubt.v1", path),
        subjects.heartbeat(path),
        subjects.ask(path),
        subjects.ask_under(path),
        subjects.ask_tag(tag, path),
        *(subjects.sync(depth, path) for depth in range(paths.depth(path))),
    ]
    for subject in built:
        assert LEGAL.fullmatch(subject)
        assert len(subject) < 1024
        assert subject.count(".") < 16


@given(given_.paths)
def test_the_path_can_be_read_from_what_it_sends(path: str) -> None:
    assert subjects.path_of_event(subjects.event("ote.command.received.v1", path)) == path
    assert subjects.path_of_heartbeat(subjects.heartbeat(path)) == path
    for depth in range(paths.depth(path)):
        assert subjects.path_of_sync(subjects.sync(depth, path)) == path


@given(given_.paths, given_.tags())
def test_a_cluster_hears_what_is_meant_for_it(path: str, tag: str) -> None:
    for scope in [path, *paths.ancestors(path)]:
        assert subjects.under(scope) in subjects.scopes_of(path)
        assert subjects.tagged(tag, scope) in subjects.tags_of(tag, path)


@given(given_.paths, given_.tags())
def test_a_tier_hears_its_subtree_and_nothing_beside_it(path: str, tag: str) -> None:
    below = f"{path}.x" if paths.depth(path) < paths.MAX_DEPTH - 1 else None
    beside = f"{path}x"[:63] if "." not in path and len(path) < 63 else None
    for other in (below, beside):
        if other is None:
            continue
        heard = other == below
        assert any(matches(p, subjects.command(other)) for p in subjects.commands_below(path)) == heard
        assert any(matches(p, subjects.under(other)) for p in subjects.unders_below(path)) == heard
        assert any(matches(p, subjects.tagged(tag, other)) for p in subjects.tags_below(path)) == heard
        assert matches(subjects.events_below(path), subjects.event("ote.command.received.v1", other)) == heard
        assert matches(subjects.heartbeats_of_children(path), subjects.heartbeat(other)) == heard
        if heard:
            assert matches(subjects.syncs_to(path), subjects.sync(paths.depth(path), other))
    assert not matches(subjects.events_below(path), subjects.event("ote.command.received.v1", path))


@pytest.mark.parametrize("hostile", ["", "root.*", "root.>", "a b", "root\r\nPUB x 0\r\n", "ü", "x" * 300])
def test_hostile_paths_never_reach_a_subject(hostile: str) -> None:
    for build in (subjects.command, subjects.under, subjects.heartbeat, subjects.ask, subjects.events_below):
        with pytest.raises(BadRequest):
            build(hostile)
    for endpoint in (subjects.local, subjects.shim):
        with pytest.raises(BadRequest):
            endpoint(hostile)
    with pytest.raises(BadRequest):
        subjects.tagged("camera", hostile)


def test_an_ask_goes_upwards() -> None:
    for depth in (-1, 2, 3):
        with pytest.raises(BadRequest):
            subjects.sync(depth, SITE)


@pytest.mark.parametrize(
    "subject", ["", "ote", "ote.evt", "ote.evt.x", "ote.hb.root", "x.evt.a.root", "ote.evt.a.ROOT", "ote.evt.a.root..b"]
)
def test_a_foreign_subject_is_a_bad_message(subject: str) -> None:
    with pytest.raises(BadMessage):
        subjects.path_of_event(subject)


def test_tags_are_checked_where_they_are_parsed() -> None:
    with pytest.raises(BadRequest):
        subjects.tagged(tags.Tag(""), "root")

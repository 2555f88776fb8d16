"""The selector's grammar, and what it says when something is wrong."""

from __future__ import annotations

import time

import pytest

from bus.errors import BadRequest, NotFound, OteError
from services.controller.selector import Candidate, Index, common_tag, fits, located, parse, resolve

CLUSTERS = [
    Candidate("root", {}),
    Candidate("root.east", {"hub": ""}),
    Candidate("root.east.site1", {"camera": "", "zone": "eu"}),
    Candidate("root.east.site2", {"zone": "eu"}),
    Candidate("root.west", {"hub": ""}),
    Candidate("root.west.site3", {"camera": "hd", "zone": "us"}),
    Candidate("root.west.cam-9", {}),
    Candidate("root.west.gate", {}),
    Candidate("root.east.gate", {}),
    Candidate("root.east.or", {}),
]
EVERY = sorted(cluster.path for cluster in CLUSTERS)
CAMERAS = ["root.east.site1", "root.west.cam-9", "root.west.site3"]
EAST = [path for path in EVERY if path.startswith("root.east")]


def select(text: str) -> list[str]:
    return resolve(text, CLUSTERS, scope="root")


def refused(text: str, scope: str = "root", clusters: list[Candidate] = CLUSTERS) -> OteError:
    with pytest.raises(OteError) as caught:
        resolve(text, clusters, scope=scope)
    assert caught.value.field == "to"
    return caught.value


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("site1", ["root.east.site1"]),
        ("root", ["root"]),
        ("path:root", ["root"]),
        ("root.east.site1", ["root.east.site1"]),
        ("root.east.>", EAST),
        ("under:root.east", EAST),
        ("under:east", EAST),
        ("under:site1", ["root.east.site1"]),
        (">", EVERY),
        ("*", EVERY),
        ("*cam*", CAMERAS),
        ("like:cam", CAMERAS),
        ("cam*", CAMERAS),
        ("*.site*", ["root.east.site1", "root.east.site2", "root.west.site3"]),
        ("*=eu", ["root.east.site1", "root.east.site2"]),
        ("tag:camera", ["root.east.site1", "root.west.site3"]),
        ("tag:camera=", ["root.east.site1"]),
        ("tag:camera=hd", ["root.west.site3"]),
        ("tag:zone=eu", ["root.east.site1", "root.east.site2"]),
        ("tag:zone=*", ["root.east.site1", "root.east.site2", "root.west.site3"]),
        ("name:or", ["root.east.or"]),
        ("root.east.or", ["root.east.or"]),
        ("site2,site1", ["root.east.site1", "root.east.site2"]),
        ("site2 or site1", ["root.east.site1", "root.east.site2"]),
        ("tag:camera&tag:zone=eu", ["root.east.site1"]),
        ("tag:camera and tag:zone=eu", ["root.east.site1"]),
        ("!>, site1", ["root.east.site1"]),
        ("not under:root.east and not under:root.west", ["root"]),
        ("not not site1", ["root.east.site1"]),
        ("!!!(site1 or not site1) or site2", ["root.east.site2"]),
        ("site2 or site1 and tag:camera", ["root.east.site1", "root.east.site2"]),
        ("(site2 or site1) and tag:camera", ["root.east.site1"]),
        ("not site1 and tag:zone=eu", ["root.east.site2"]),
        ("\t( site1 )\n", ["root.east.site1"]),
    ],
)
def test_selects(text: str, paths: list[str]) -> None:
    assert select(text) == paths


def test_only_not_means_all_but() -> None:
    assert select("not site1") == [path for path in EVERY if path != "root.east.site1"]


def test_exact_unless_there_is_a_star() -> None:
    clusters = [Candidate("root.c1", {}), Candidate("root.c10", {}), Candidate("root.xc1", {})]
    assert resolve("c1", clusters, scope="root") == ["root.c1"]
    assert resolve("root.c1", clusters, scope="root") == ["root.c1"]
    assert resolve("under:root.c1", clusters, scope="root") == ["root.c1"]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("a,b&!c", "a or b and not c"),
        ("((a,b))&c", "(a or b) and c"),
        ("a,(b,c)", "a or b or c"),
        ("a&(b&c)", "a and b and c"),
        ("!(a,b)", "not (a or b)"),
        ("!!a", "a"),
        ("root.east.>", "under:root.east"),
        (">", "*"),
        ("**cam**", "like:cam"),
        ("cam**1", "cam*1"),
        ("name:not", "name:not"),
        ("name:a", "a"),
        ("path:a.b", "a.b"),
        ("tag:a=b=c", "tag:a=b=c"),
        ("tag:a**", "tag:a*"),
    ],
)
def test_the_normal_form_is_in_words(text: str, normal: str) -> None:
    assert str(parse(text)) == normal


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "the selector is empty", "`>` selects every cluster"),
        (" \n", "the selector is empty", "`>` selects every cluster"),
        ("a b", "character 3: expected `or`, `and` or the end, found 'b'", None),
        ("a or", "character 5: expected a name, a path or a tag, found the end", None),
        ("a,,b", "character 3: expected a name, a path or a tag, found ','", None),
        ("or", "character 1: expected a name, a path or a tag, found 'or'", None),
        ("not", "character 4: expected a name, a path or a tag, found the end", None),
        ("(a or b", "character 8: expected `)` for the `(` at character 1, found the end", None),
        ("a)", "character 2: expected `or`, `and` or the end, found ')'", None),
        ("()", "character 2: expected a name, a path or a tag, found ')'", None),
        (
            "a | b",
            "character 3: expected a name, a path, a tag or an operator, found '|'",
            "`or` is written `or`",
        ),
        ("a && b", "character 4: expected a name, a path or a tag, found '&'", "`and` is written"),
        ("a AND b", "found 'AND'", "lower-case"),
        ("a||b", "character 2: ", "`or` is written"),
        ('"a"', "character 1: ", None),
        ("a\0b", "an operator, found '\\x00'", None),
        ("zone!=eu", "character 5: expected `or`, `and` or the end, found '!'", "not tag:KEY=VALUE"),
        ("tga:camera", "character 1: expected one of the prefixes `tag:`, ", "did you mean 'tag:camera'?"),
        ("tag: camera", "character 5: expected a tag right after `tag:`", None),
        ("a or under:", "character 12: expected a path right after `under:`", None),
        ("tag:=eu", "character 5: expected the key of a tag, found '='", None),
        ("name:a.b", "character 1: expected a name, which has no dots, found 'a.b'", "without `name:`"),
        ("name:a*", "expected an exact name or path, found 'a*' with a `*`", "`like:` and `tag:`"),
        ("under:a*", "expected an exact name or path, found 'a*' with a `*`", "`like:` and `tag:`"),
        (".>", "expected a path before `.>`", None),
        ("root.>.site1", "character 6: `>` stands alone", "`under:root.east`"),
        ("*>", "character 2: `>` stands alone", "`under:root.east`"),
        ("(" * 40 + "a" + ")" * 40, "character 33: more than 32 parentheses", None),
        (",".join(["tag:a"] * 65), "more than 64 globs, subtrees and tags", "name the clusters"),
    ],
)
def test_syntax_errors_say_where_and_what_was_expected(text: str, message: str, hint: str | None) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(text)
    assert caught.value.field == "to"
    assert message in caught.value.message
    assert (hint is None) == (caught.value.hint is None)
    assert hint is None or hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("stie1", "no cluster is named 'stie1' among 10 clusters under root", "did you mean 'site1'?"),
        ("root.east.stie1", "no cluster has the path 'root.east.stie1' among", "did you mean 'root.east.site1'?"),
        ("east.site1", "no cluster has the path 'east.site1'", "did you mean 'root.east.site1'?"),
        ("zzzz", "no cluster is named 'zzzz'", None),
        ("tag:camrea", "no cluster has the tag 'camrea' among 10 clusters under root", "did you mean 'tag:camera'?"),
        ("tag:zone=ue", "no cluster has the tag 'zone=ue'", "'zone' has the values eu, us"),
        ("tag:hub=x", "no cluster has the tag 'hub=x'", "it has no value: write `tag:hub`"),
        ("tag:site1", "no cluster has the tag 'site1'", "'site1' is a cluster: write it without `tag:`"),
        ("camera", "no cluster is named 'camera'", "'camera' is a tag: write `tag:camera`"),
        ("zone=eu", "no cluster is named 'zone=eu'", "'zone=eu' is a tag: write `tag:zone=eu`"),
        ("under:root.esat", "no cluster is at or below 'root.esat'", "did you mean 'root.east'?"),
        ("not tag:camrea", "no cluster has the tag 'camrea'", "did you mean 'tag:camera'?"),
        ("site1, stie2", "no cluster is named 'stie2'", "did you mean 'site2'?"),
        (
            "tag:camera and tag:hub",
            "'tag:camera and tag:hub' selects none of 10 clusters under root",
            "alone, tag:camera selects 2, tag:hub selects 2",
        ),
        ("like:zebra", "'like:zebra' selects none of 10 clusters", "names, paths and tags"),
        ("not >", "'not *' selects none of 10 clusters", None),
    ],
)
def test_what_is_not_there(text: str, message: str, hint: str | None) -> None:
    error = refused(text)
    assert isinstance(error, NotFound)
    assert message in error.message
    assert (hint is None) == (error.hint is None)
    assert hint is None or hint in (error.hint or "")


def test_a_name_that_several_clusters_have_lists_them() -> None:
    error = refused("gate")
    assert isinstance(error, BadRequest)
    assert error.message == "2 clusters are named 'gate': root.east.gate, root.west.gate"
    assert error.hint == "write the path of the one that you mean"
    assert isinstance(refused("under:gate"), BadRequest)


def test_the_top_can_be_told_from_a_cluster_of_the_same_name() -> None:
    clusters = [Candidate("root", {}), Candidate("root.east.root", {})]
    assert "path:root" in (refused("root", clusters=clusters).hint or "")
    assert resolve("path:root", clusters, scope="root") == ["root"]
    assert len(resolve("under:root", clusters, scope="root")) == 2


def test_a_tier_selects_nothing_above_itself() -> None:
    east = [cluster for cluster in CLUSTERS if cluster.path.startswith("root.east")]
    for text in ("root", "under:root", "root.>"):
        error = refused(text, scope="root.east", clusters=east)
        assert error.hint == "this tier commands what is at or below root.east"
    assert resolve("under:root.east", east, scope="root.east") == EAST


def test_a_subtree_is_known_by_what_is_below_it() -> None:
    assert resolve("under:root.a", [Candidate("root.a.b", {})], scope="root") == ["root.a.b"]


def test_no_clusters_at_all() -> None:
    assert "selects none of 0 clusters under root" in refused(">", clusters=[]).message


def test_hostile_text_does_not_flood_the_error() -> None:
    for text in ("x" * 100_000, "tag:" + "x" * 100_000, "x:" * 50_000, "\ud800", "ünïcödé", "like:" + "*x" * 9_999):
        error = refused(text)
        assert len(error.message) + len(error.hint or "") < 400
        error.message.encode()


def test_the_rarest_common_tag() -> None:
    both = ["root.east.site1", "root.east.site2"]
    assert common_tag(both, CLUSTERS) == "zone=eu"
    assert common_tag(["root.east.site1"], CLUSTERS) == "camera"
    assert common_tag(["root.east.site1", "root.west.site3"], CLUSTERS) is None
    assert common_tag(["root.west.gate"], CLUSTERS) is None
    assert common_tag(["root.nowhere"], CLUSTERS) is None
    assert common_tag([], CLUSTERS) is None


def test_ten_thousand_clusters() -> None:
    clusters = [
        Candidate(f"root.r{n % 50}.site{n}", {"zone": f"z{n % 7}", "rack": f"{n % 100}", "camera": ""})
        for n in range(10_000)
    ]

    def seconds(text: str) -> float:
        began = time.thread_time()
        resolve(text, clusters, scope="root")
        return time.thread_time() - began

    many = " or ".join(f"site{n}" for n in range(0, 10_000, 10))
    for text in ("site77", "tag:zone=z3 and not under:root.r7", "like:site99 or tag:rack=1*", many):
        assert min(seconds(text) for _ in range(3)) < 0.1, text[:80]

    began = time.thread_time()
    error = refused("stie77", clusters=clusters)
    assert error.hint == "did you mean 'site77'?"
    assert time.thread_time() - began < 0.5


def test_an_index_can_be_kept() -> None:
    index = Index(CLUSTERS)
    assert resolve("tag:camera", index, scope="root") == resolve(parse("tag:camera"), CLUSTERS, scope="root")


@pytest.mark.parametrize(
    "text",
    [
        "site1",
        "path:root",
        "under:east",
        "root.west.>",
        ">",
        "*",
        "like:cam",
        "*.site*",
        "*=eu",
        "tag:camera",
        "tag:camera=",
        "tag:cam*",
        "tag:zone and not under:east",
        "(site1 or site3) and tag:zone=us",
        "not site1 or cam-9",
        "name:or or tag:hub",
    ],
)
def test_who_knows_no_other_cluster_decides_as_who_knows_all(text: str) -> None:
    expr = parse(str(located(parse(text), Index(CLUSTERS))))
    assert [cluster.path for cluster in CLUSTERS if fits(expr, cluster)] == [
        cluster.path for cluster in CLUSTERS if cluster.path in select(text)
    ]

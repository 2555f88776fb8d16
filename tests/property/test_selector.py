"""Laws of the selector over random trees of clusters and random expressions."""

from __future__ import annotations

from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from bus.errors import OteError
from services.controller.selector import (
    And,
    Candidate,
    Expr,
    Glob,
    Name,
    Not,
    Or,
    Path,
    Tag,
    TagGlob,
    Under,
    common_tag,
    parse,
    resolve,
)
from services.controller.selector.expr import all_of, any_of, negated

NAMES = ["a", "b", "ab", "cam", "or", "not"]
TAGS = ["", "x", "y"]

paths = st.lists(st.sampled_from(NAMES), min_size=0, max_size=3).map(lambda names: ".".join(["root", *names]))
tags = st.dictionaries(st.sampled_from(["cam", "zone", "and"]), st.sampled_from(TAGS), max_size=3)
fleets = st.dictionaries(paths, tags, min_size=1, max_size=12).map(
    lambda found: [Candidate(path, tags) for path, tags in found.items()]
)
globs = st.text("abcm*.", min_size=1, max_size=5).filter(lambda text: "*" in text and "**" not in text)
leaves: st.SearchStrategy[Expr] = st.one_of(
    st.builds(Name, st.sampled_from(NAMES)),
    st.builds(Path, paths),
    st.builds(Under, paths),
    st.builds(Tag, st.sampled_from(["cam", "zone", "and"]), st.none() | st.sampled_from(TAGS)),
    st.builds(Glob, globs),
    st.builds(TagGlob, st.sampled_from(["*", "c*", "*=x", "zone*", "z*=*"])),
)
exprs = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(negated, inner),
        st.builds(any_of, st.lists(inner, min_size=1, max_size=3)),
        st.builds(all_of, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=8,
)


def outcome(selector: Expr | str, fleet: list[Candidate]) -> list[str] | str:
    try:
        return resolve(selector, fleet, scope="root")
    except OteError as error:
        assert error.field == "to"
        return "nothing" if "selects none of" in error.message else "unknown"


def matches(expr: Expr, cluster: Candidate) -> bool:
    path, tags = cluster
    name = path.split(".")[-1]
    texts = [key + ("=" + value if value else "") for key, value in tags.items()]
    match expr:
        case Name():
            return name == expr.name
        case Path():
            return path == expr.path
        case Under():
            return f"{path}.".startswith(f"{expr.top}.")
        case Tag(key, None):
            return key in tags
        case Tag(key, value):
            return tags.get(key) == value
        case TagGlob():
            return any(fnmatchcase(text, expr.pattern) for text in texts)
        case Glob():
            return any(fnmatchcase(text, expr.pattern) for text in [name, path, *texts])
        case Not():
            return not matches(expr.part, cluster)
        case And():
            return all(matches(part, cluster) for part in expr.parts)
        case Or():
            return any(matches(part, cluster) for part in expr.parts)


def known(expr: Expr, fleet: list[Candidate]) -> bool:
    """Whether everything that the expression names exactly is there, once."""
    match expr:
        case Not():
            return known(expr.part, fleet)
        case And() | Or():
            return all(known(part, fleet) for part in expr.parts)
        case Glob() | TagGlob():
            return True
    fits = sum(matches(expr, cluster) for cluster in fleet)
    return fits == 1 if isinstance(expr, Name) else fits > 0


@given(exprs)
def test_what_is_printed_parses_back(expr: Expr) -> None:
    assert parse(str(expr)) == expr


@given(exprs, fleets)
def test_it_selects_what_a_naive_reading_selects(expr: Expr, fleet: list[Candidate]) -> None:
    if not known(expr, fleet):
        assert outcome(expr, fleet) == "unknown"
        return
    naive = sorted(cluster.path for cluster in fleet if matches(expr, cluster))
    assert outcome(expr, fleet) == (naive or "nothing")


@given(exprs, exprs, exprs, fleets)
def test_boolean_laws(a: Expr, b: Expr, c: Expr, fleet: list[Candidate]) -> None:
    def same(one: str, other: str) -> None:
        assert outcome(one.format(a=a, b=b, c=c), fleet) == outcome(other.format(a=a, b=b, c=c), fleet)

    same("not (({a}) and ({b}))", "not ({a}) or not ({b})")
    same("not (({a}) or ({b}))", "!({a}) & !({b})")
    same("({a}) or ({b})", "({b}),({a})")
    same("({a}) and (({b}) or ({c}))", "({a}) & ({b}), ({a}) & ({c})")
    same("({a}) or ({a}) and ({b})", "({a}) and (({a}) or ({b}))") if known(b, fleet) else None
    same("not not ({a})", "{a}")


_WORDS = [
    "or",
    "and",
    "not",
    *"(),&!a>*=.|é ",
    "root",
    "root.a",
    "root.>",
    "tag:",
    "tag:cam",
    "like:",
    "under:a",
    "name:or",
    "x:y",
]
words = st.sampled_from([*_WORDS, "\0", "\ud800", "*" * 50, "(" * 50, "!" * 50, ">" * 3])


@given(st.text() | st.lists(words, max_size=30).map("".join) | st.lists(words, max_size=30).map(" ".join), fleets)
def test_hostile_text_is_refused_or_understood(text: str, fleet: list[Candidate]) -> None:
    try:
        expr = parse(text)
    except OteError as error:
        assert error.field == "to"
        assert error.message.encode()
        return
    assert parse(str(expr)) == expr
    assert outcome(text, fleet) == outcome(expr, fleet)


@given(fleets, st.data())
def test_the_common_tag_is_carried_by_all_and_none_is_rarer(fleet: list[Candidate], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(fleet), min_size=1, unique_by=lambda cluster: cluster.path))
    carriers: dict[str, set[str]] = {}
    for path, tags in fleet:
        for key, value in tags.items():
            carriers.setdefault(f"{key}={value}" if value else key, set()).add(path)
    common = {tag: len(those) for tag, those in carriers.items() if all(path in those for path, _ in chosen)}
    found = common_tag([path for path, _ in chosen], fleet)
    assert (found is None) == (not common)
    assert found is None or common[found] == min(common.values())

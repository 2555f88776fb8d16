"""What hypothesis draws: names, paths and tags, legal and hostile."""

from __future__ import annotations

import string

from hypothesis import strategies as st

ALNUM = string.ascii_lowercase + string.digits


@st.composite
def names(draw: st.DrawFn) -> str:
    ends = st.sampled_from(ALNUM)
    middle = draw(st.text(ALNUM + "-", max_size=61))
    return draw(ends) + (middle + draw(ends) if middle else "")


paths = st.lists(names(), min_size=1, max_size=10).map(".".join)

words = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", fullmatch=True)
prefixes = st.lists(names(), min_size=1, max_size=3).map(".".join).map(lambda text: f"{text}/")


@st.composite
def tags(draw: st.DrawFn) -> str:
    key = draw(st.one_of(st.just(""), prefixes)) + draw(words)
    value = draw(st.one_of(st.just(""), words))
    return f"{key}={value}" if value else key


hostile = st.one_of(
    st.text(),
    st.text("ab.*>_- \r\n\t\x00/=", max_size=20),
    st.integers(64, 400).map(lambda count: "x" * count),
)

"""Words for the errors of selectors: lists that do not grow too long, and the name that comes nearest."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Collection, Sequence

_LONGEST = 80
_COMPARED = 400


def listed(words: Sequence[str], limit: int = 10) -> str:
    """The first words, and how many more there are."""
    more = len(words) - limit
    return ", ".join(words[:limit]) + (f" and {more} more" if more > 0 else "")


def nearest(word: str, pool: Collection[str]) -> str | None:
    """The one of the pool that looks most like the word, or None if none looks like it.

    Comparing a word with 10,000 others takes most of a second, so a big pool is first cut to those that
    begin and end most like it.
    """
    word = word[:_LONGEST]
    likely: Collection[str] = pool
    if len(pool) > _COMPARED:
        likely = heapq.nlargest(_COMPARED, pool, key=lambda other: _shared_ends(word, other))
    close = difflib.get_close_matches(word, sorted(likely))
    # Of those that come equally near, the one with the same letters: swapped letters are the commonest slip.
    return max(close, key=lambda other: sorted(other) == sorted(word), default=None)


def _shared_ends(one: str, other: str) -> int:
    return _shared(one, other) + _shared(one[::-1], other[::-1])


def _shared(one: str, other: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bus.event import format_time
from services.cli.ages import age, moment, seconds, since, size_of, took

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90", 90),
        ("90s", 90),
        ("5m", 300),
        ("2h", 7200),
        ("7d", 604800),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("1.5m", 90),
    ],
)
def test_spans_are_read(text: str, span: float) -> None:
    assert seconds(text) == pytest.approx(span)


@pytest.mark.parametrize("text", ["", "soon", "5 minutes", "-3s", "5x", "m", "1e3"])
def test_a_bad_span_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="write seconds"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("4096", 4096), ("500MB", 500_000_000), ("2gb", 2_000_000_000), ("1.5 k", 1500), ("1TB", 10**12)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "big", "-1", "5 PB", "MB"])
def test_a_bad_size_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="write bytes"):
        size_of(text)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (-5, "0s"),
        (0.9, "0s"),
        (38.7, "38s"),
        (60, "1m"),
        (3599, "59m"),
        (3600, "1h"),
        (47.9 * 3600, "47h"),
        (3 * 86400, "3d"),
    ],
)
def test_ages_have_one_unit(span: float, text: str) -> None:
    assert age(span) == text


def test_since_tells_how_long_ago() -> None:
    assert since(format_time(NOW - timedelta(seconds=38)), NOW) == "38s"
    assert since(None, NOW) == "-"
    assert since("not a time", NOW) == "not a time"


def test_took_shows_fast_ones() -> None:
    start = format_time(NOW)
    assert took(start, format_time(NOW + timedelta(milliseconds=4))) == "4ms"
    assert took(start, format_time(NOW + timedelta(seconds=1.24))) == "1.2s"
    assert took(start, format_time(NOW + timedelta(minutes=5))) == "5m"
    assert took(start, None) == "-"


def test_a_moment_is_a_time_or_a_span_back() -> None:
    assert moment("10m", NOW) == "2026-11-23T11:50:00.000000Z"
    assert moment("2026-11-23T10:00:00+02:00") == "2026-11-23T08:00:00.000000Z"
    assert moment("2026-11-23T10:00:00") == "2026-11-23T10:00:00.000000Z"
    with pytest.raises(ValueError, match="write how long ago"):
        moment("yesterday")

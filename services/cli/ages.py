"""Spans of time as people write and read them: `90`, `5m`, `7d` in, `38s`, `5m`, `3d` out; and sizes, in."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from bus.event import format_time, parse_time

UNITS = {"ms": 0.001, "": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw]?)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")


def seconds(text: str) -> float:
    """The seconds that `90`, `90s`, `5m`, `1h30m`, `7d` name. ValueError says how to write them."""
    written = text.strip().lower()
    if not _WHOLE.fullmatch(written):
        raise ValueError(f"{text!r} is no span of time: write seconds, or a number with ms, s, m, h, d or w (90s, 5m)")
    return sum(float(number) * UNITS[unit] for number, unit in _PART.findall(written))


def size_of(text: str) -> int:
    """The bytes that `4096`, `500MB`, `2GB` name, in powers of 1000. ValueError says how to write them."""
    written = _SIZE.fullmatch(text.strip().lower())
    if not written:
        raise ValueError(f"{text!r} is no size: write bytes, or a number with KB, MB, GB or TB (500MB)")
    return int(float(written[1]) * 1000 ** ("", "k", "m", "g", "t").index(written[2]))


def age(span: float) -> str:
    """A span in seconds with one unit, rounded down: `38s`, `5m`, `26h`, `3d`. Negative spans, from clocks
    that differ, are `0s`."""
    span = max(span, 0)
    if span < 60:
        return f"{int(span)}s"
    if span < 3600:
        return f"{int(span // 60)}m"
    if span < 48 * 3600:
        return f"{int(span // 3600)}h"
    return f"{int(span // 86400)}d"


def since(time: str | None, now: datetime) -> str:
    """How long ago an RFC 3339 time was; `-` if there is none, the text itself if it cannot be read."""
    if not time:
        return "-"
    try:
        return age((now - parse_time(time)).total_seconds())
    except ValueError:
        return time


def took(start: str | None, end: str | None) -> str:
    """From one RFC 3339 time to another, fine enough to see a fast one: `4ms`, `1.2s`, `5m`; `-` if one is missing."""
    if not start or not end:
        return "-"
    try:
        span = (parse_time(end) - parse_time(start)).total_seconds()
    except ValueError:
        return "-"
    if abs(span) < 1:
        return f"{span * 1000:.0f}ms"
    return f"{span:.1f}s" if span < 60 else age(span)


def moment(text: str, now: datetime | None = None) -> str:
    """RFC 3339 text for a moment that is given as a span back from now (`10m`) or as RFC 3339 itself (a time
    without a zone is UTC). ValueError says how to write it."""
    try:
        parsed = parse_time(text)
    except ValueError:
        pass
    else:
        return format_time(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))
    try:
        back = (now or datetime.now(UTC)).timestamp() - seconds(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: write how long ago (90s, 10m, 2h, 7d), or a time (2026-11-23T08:00:00Z)"
        ) from None
    return format_time(datetime.fromtimestamp(back, UTC))

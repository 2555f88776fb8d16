"""Values in the syntax of a nats-server configuration file."""

from __future__ import annotations

from collections.abc import Iterable

from bus.errors import BadRequest


def quote(text: str) -> str:
    """A string value. BadRequest on control characters: no setting has a use for them."""
    if not text.isprintable():
        raise BadRequest(f"a server setting holds characters that cannot be printed: {text!r}")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def array(texts: Iterable[str]) -> str:
    """A list of string values."""
    return f"[{', '.join(quote(text) for text in texts)}]"


def duration(seconds: float) -> str:
    """A duration value, in whole milliseconds."""
    return f'"{round(seconds * 1000)}ms"'

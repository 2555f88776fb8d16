"""Lives of a log: each has an epoch, and the epochs of one source sort as text."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime


def new_epoch(above: str = "") -> str:
    """An epoch that sorts after `above`: a count, then 64 random bits, so that two lives that were
    begun apart never meet under one name."""
    count = int(above.partition(".")[0], 16) if above else 0
    return f"{count + 1:08x}.{secrets.token_hex(8)}"


def now() -> str:
    """The current UTC time as RFC 3339 text of fixed width, which sorts."""
    return datetime.now(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"

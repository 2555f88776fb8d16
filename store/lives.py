"""Lives of a log: each has an epoch, and the epochs of one source sort as text."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

_EPOCH = re.compile(r"[0-9a-f]{8}\.[0-9a-f]+")


def new_epoch(above: str = "") -> str:
    """An epoch that sorts after `above`: a count, then 64 random bits, so that two lives that were
    begun apart never meet under one name."""
    count = int(above.partition(".")[0], 16) if above else 0
    return f"{count + 1:08x}.{secrets.token_hex(8)}"


def is_of_another(consumer: str, epoch: str) -> bool:
    """Whether the name of a consumer ends with an epoch, and that of another life than this."""
    last = consumer.rpartition(" ")[2]
    return _EPOCH.fullmatch(last) is not None and last != epoch


def now() -> str:
    """The current UTC time as RFC 3339 text of fixed width, which sorts."""
    return datetime.now(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"

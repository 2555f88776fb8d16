"""Which paths lie in which subtree, and which subjects match which pattern."""

from __future__ import annotations

import re


def is_under(path: str, scope: str) -> bool:
    """Whether `path` is `scope` itself or lies below it."""
    return path == scope or (path.startswith(scope) and path[len(scope)] == ".")


def subject_pattern(subject: str) -> re.Pattern[str]:
    """A regular expression for a NATS subject in which `*` stands for one token and a last `>` for
    one or more."""
    tokens = subject.split(".")
    parts = [r"[^.]+" if token == "*" else re.escape(token) for token in tokens]
    if tokens[-1] == ">":
        parts[-1] = r".+"
    return re.compile(r"\.".join(parts))

"""What the doctor finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How bad it is: an error needs somebody, a warning should be looked at, a note is only good to know."""

    NOTE = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be: found by `check`, `about` a cluster, a command or a file. `what` is wrong,
    and the remedy is what to do."""

    severity: Severity
    check: str
    about: str
    what: str
    remedy: str


def error(check: str, about: str, what: str, remedy: str) -> Finding:
    """A finding that needs somebody."""
    return Finding(Severity.ERROR, check, about, what, remedy)


def warning(check: str, about: str, what: str, remedy: str) -> Finding:
    """A finding that should be looked at."""
    return Finding(Severity.WARNING, check, about, what, remedy)


def note(check: str, about: str, what: str, remedy: str) -> Finding:
    """A finding that is only good to know."""
    return Finding(Severity.NOTE, check, about, what, remedy)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """The order in which people should read them."""
    return sorted(findings, key=lambda finding: -finding.severity)


def is_ill(findings: Iterable[Finding]) -> bool:
    """Whether something is wrong."""
    return any(finding.severity > Severity.NOTE for finding in findings)

"""Audits the logs of a tree: was every promise kept?

Nothing is asked of the tiers: all that is said here is read from their logs, which may be in use. What is
found wrong names the promise, the log and the command or event.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.cli.demo.books import Books, read_books
from services.cli.demo.checks import delivery, effects
from services.cli.demo.checks.agreement import AGREE, agreement
from services.cli.demo.checks.delivery import LOST, ONCE, ORDER, lost, once, order, stories
from services.cli.demo.checks.effects import EFFECTS
from services.cli.demo.checks.finding import Finding
from services.cli.demo.checks.times import ALONE, TIMES, Outage, alone, times

__all__ = ["AuditReport", "Finding", "Outage", "audit", "audit_books"]

PROMISES = (LOST, ONCE, ORDER, EFFECTS, AGREE, TIMES, ALONE)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was found wrong, and how much was looked at."""

    findings: tuple[Finding, ...]
    counts: Mapping[str, int]

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return not self.findings

    def kept(self) -> dict[str, bool]:
        """Each promise: was it kept?"""
        broken = {finding.promise for finding in self.findings}
        return {promise: promise not in broken for promise in PROMISES}

    def data(self) -> dict[str, Any]:
        """`{"ok", "promises": {TEXT: BOOL}, "findings": [{"promise", "path", "what"}], "counts"}`."""
        findings = [finding._asdict() for finding in self.findings]
        return {"ok": self.ok, "promises": self.kept(), "findings": findings, "counts": dict(self.counts)}

    def __str__(self) -> str:
        lines = [f"{finding.promise}: {finding.path}: {finding.what}" for finding in self.findings]
        return "\n".join(lines or ["every promise was kept"])


async def audit(
    logs: Mapping[str, str | Path],
    *,
    acknowledged: Mapping[str, Collection[str]] | None = None,
    outages: Sequence[Outage] = (),
    settled: bool = True,
) -> AuditReport:
    """Audits these logs (files by path of the tier).

    `acknowledged` are the commands that were answered with `accepted`, each with its targets; `outages` say
    what was cut off when. Without `settled` commands may still be open. NotFound if a log is not there."""
    return audit_books(await read_books(logs), acknowledged=acknowledged or {}, outages=outages, settled=settled)


def audit_books(
    books: Books,
    *,
    acknowledged: Mapping[str, Collection[str]],
    outages: Sequence[Outage] = (),
    settled: bool = True,
) -> AuditReport:
    """Audits what was read."""
    told = stories(books)
    findings = [
        *lost(books, acknowledged),
        *once(books, told, settled=settled),
        *order(books),
        *effects.effects(books),
        *agreement(books),
        *times(books, told),
        *alone(books, told, outages),
    ]
    return AuditReport(tuple(sorted(findings)), _counts(books, told))


def _counts(books: Books, told: Mapping[Any, delivery.Story]) -> dict[str, int]:
    return {
        "logs": len(books.books),
        "events": sum(map(len, books.streams.values())),
        "copies": sum(len(events) for book in books for events in book.streams.values()),
        **delivery.counts(books, told),
        **effects.counts(books),
    }

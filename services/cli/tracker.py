"""How far a command has come, from its answers page by page: how many of how many, and who is missing.

Of a command to many clusters each poll reads one page only: targets that are final stay so, so the reading
goes on behind the first ones that are all final.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.text import Text

from services.cli.ages import since
from services.cli.exits import FINAL, Exit, of_summary
from services.cli.render import counts, safe
from services.cli.views.commands import last_receipt

SHOWN = 4


@dataclass
class Tracker:
    """What is known of a command's targets."""

    id: str
    summary: dict[str, int] = field(default_factory=dict)
    missing: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    offline: dict[str, str] = field(default_factory=dict)
    after: str | None = None
    trouble: str | None = None

    @property
    def total(self) -> int:
        """How many targets there are."""
        return sum(self.summary.values())

    @property
    def done(self) -> int:
        """How many are final."""
        return sum(count for state, count in self.summary.items() if state in FINAL)

    @property
    def exit(self) -> Exit:
        """What a wait that ended now would end with."""
        return of_summary(self.summary)

    @property
    def waits_for_offline(self) -> bool:
        """Whether all who are missing are offline."""
        return bool(self.missing) and self.missing.keys() <= self.offline.keys()

    def take(self, answer: Mapping[str, Any]) -> bool:
        """Takes up an answer to a poll `after` this tracker's; True if the next page should be asked at once,
        because on this one all are final."""
        targets: Mapping[str, Mapping[str, Any]] = answer["targets"]
        self.summary = dict(answer["summary"])
        self.missing = {path: target for path, target in targets.items() if target["state"] not in FINAL}
        self.trouble = None
        for path, target in targets.items():
            if target["state"] not in FINAL:
                return False
            self.after = path
        return bool(answer.get("next"))

    def line(self, now: datetime) -> Text:
        """`3/6   2 succeeded, 1 received   waiting for root.east.site1 (received 2s ago) and 2 more`."""
        text = Text.assemble((f"{self.done:,}/{self.total:,}", "bold"), f"   {counts(self.summary)}")
        who = self.who(now)
        if who:
            text.append(f"   waiting for {', '.join(who)}")
            if more := self.total - self.done - len(who):
                text.append(f" and {more:,} more")
        if self.trouble:
            text.append(f"   ({safe(self.trouble)})", style="red")
        return text

    def who(self, now: datetime) -> list[str]:
        """The first targets that are missing, each with the reason or what was last heard of it."""
        return [
            f"{safe(path)} ({self._why(path, target, now)})" for path, target in sorted(self.missing.items())[:SHOWN]
        ]

    def _why(self, path: str, target: Mapping[str, Any], now: datetime) -> str:
        if path in self.offline:
            return f"offline {since(self.offline[path], now)}"
        return f"{safe(target['state'])} {since(last_receipt(target), now)}"

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bus.event import format_time
from services.cli.exits import Exit
from services.cli.progress import OFTEN, SELDOM, PlainLines
from services.cli.tracker import Tracker

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def ago(seconds: float) -> str:
    return format_time(NOW - timedelta(seconds=seconds))


def answer(states: dict[str, str], summary: dict[str, int] | None = None, next: str | None = None) -> dict[str, Any]:
    if summary is None:
        summary = {}
        for state in states.values():
            summary[state] = summary.get(state, 0) + 1
    targets = {path: {"state": state, "receipts": {"accepted": ago(38)}} for path, state in states.items()}
    return {"targets": targets, "summary": summary, "next": next}


def test_how_many_of_how_many_and_who_is_missing() -> None:
    tracker = Tracker("c1")
    assert tracker.take(answer({"r.a": "succeeded", "r.b": "accepted", "r.c": "received"})) is False
    tracker.offline = {"r.b": ago(300)}
    assert (tracker.done, tracker.total, tracker.exit) == (1, 3, Exit.STILL_OPEN)
    assert tracker.line(NOW).plain == (
        "1/3   1 accepted, 1 received, 1 succeeded   waiting for r.b (offline 5m), r.c (received 38s)"
    )


def test_all_final() -> None:
    tracker = Tracker("c1")
    tracker.take(answer({"r.a": "succeeded", "r.b": "failed"}))
    assert tracker.exit is Exit.FAILED
    assert tracker.line(NOW).plain == "2/2   1 failed, 1 succeeded"


def test_the_reading_goes_on_behind_what_is_final() -> None:
    tracker = Tracker("c1")
    summary = {"succeeded": 3, "accepted": 1}
    assert tracker.take(answer({"r.a": "succeeded", "r.b": "succeeded"}, summary, next="r.b")) is True
    assert tracker.after == "r.b"
    assert tracker.take(answer({"r.c": "succeeded", "r.d": "accepted"}, summary)) is False
    assert tracker.after == "r.c"
    assert list(tracker.missing) == ["r.d"]
    assert tracker.take(answer({"r.d": "succeeded"}, {"succeeded": 4})) is False
    assert (tracker.done, tracker.total, tracker.exit) == (4, 4, Exit.OK)


def test_many_missing_are_counted() -> None:
    tracker = Tracker("c1")
    tracker.take(answer({f"r.s{n}": "accepted" for n in range(9)}, {"accepted": 1000}, next="r.s8"))
    assert tracker.line(NOW).plain.endswith("r.s3 (accepted 38s) and 996 more")


def test_trouble_is_told_and_forgotten_with_the_next_answer() -> None:
    tracker = Tracker("c1", trouble="no answer")
    assert tracker.line(NOW).plain == "0/0   -   (no answer)"
    tracker.take(answer({"r.a": "succeeded"}))
    assert tracker.trouble is None


def test_plain_lines_come_with_changes_but_not_too_often() -> None:
    said: list[str] = []
    tracker = Tracker("c1")
    lines = PlainLines(tracker, lambda text: said.append(text.plain.split()[0]))
    clock = [0.0]

    def tell(states: dict[str, str], seconds: float) -> None:
        tracker.take(answer(states))
        clock[0] += seconds
        lines.tell(lambda: clock[0])

    tell({"a": "accepted", "b": "accepted"}, 0)
    tell({"a": "accepted", "b": "accepted"}, OFTEN)
    assert said == ["0/2"]
    tell({"a": "succeeded", "b": "accepted"}, 0)
    assert said == ["0/2", "1/2"]
    tell({"a": "succeeded", "b": "received"}, OFTEN / 2)
    assert said == ["0/2", "1/2"]
    tell({"a": "succeeded", "b": "received"}, SELDOM)
    assert said == ["0/2", "1/2", "1/2"]
    tell({"a": "succeeded", "b": "failed"}, OFTEN / 10)
    assert said[-1] == "2/2"

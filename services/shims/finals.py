"""What a target says of a command at its end: the type of the event and its data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgpack

from bus import subjects, types
from bus.event import Draft, Event
from services.shims.base import Answer

#: A result above this (bytes) does not travel; the final says how large it was.
RESULT_LIMIT = 256 * 1024
#: A text of an error above this (characters) is cut: events must fit into messages, whatever a shim says.
TEXT_LIMIT = 8 * 1024

Final = tuple[str, Mapping[str, Any]]


def draft(me: str, event: Event, kind: str, data: Mapping[str, Any]) -> Draft:
    """The event about the command of this mail, on its way up."""
    said = {"command": event.data["command"], **data}
    return Draft(type=kind, subject=subjects.event(kind, me), data=said, cause=event.id)


def of_answer(answer: Answer) -> Final:
    """What the shim said."""
    said = _result(answer.result)
    if answer.ok:
        return types.SUCCEEDED, said
    error = answer.error.body() if answer.error is not None else {"code": "failed", "message": "no reason given"}
    return types.FAILED, {"error": {name: short(text) for name, text in error.items()}, **said}


def short(text: str) -> str:
    """The text, cut if it is too long to travel."""
    return text if len(text) <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]}... ({len(text) - TEXT_LIMIT:,} characters more)"


def _result(result: Any) -> Mapping[str, Any]:
    if result is None:
        return {}
    try:
        size = len(msgpack.packb(result))
    except (TypeError, ValueError, OverflowError) as error:
        return {"result": {"unreadable": str(error)}}
    return {"result": result if size <= RESULT_LIMIT else {"truncated": True, "bytes": size}}


def withdrawn(by: Event) -> Mapping[str, Any]:
    """It was cancelled, or superseded by a later command."""
    return {"by": by.id if by.type == types.CANCEL else by.data["command"]}


def expired(event: Event) -> Mapping[str, Any]:
    """It came too late."""
    return {"error": {"code": "expired", "message": f"its time to live ended at {event.expiresat}"}}


def no_shim(kind: str | None, known: Iterable[str]) -> Mapping[str, Any]:
    """Nobody here can do it."""
    have = ", ".join(known) or "none"
    return {"error": {"code": "no-shim", "message": f"this cluster has no shim {kind!r}; it has: {have}"}}


def in_doubt() -> Mapping[str, Any]:
    """It had started, and nobody knows how it ended."""
    message = "it had started and its end was not recorded; it is not repeated"
    return {
        "error": {"code": "in-doubt", "message": message, "hint": "ote resolve ID --target PATH --as done|failed|retry"}
    }


def in_doubt_of_lost_life() -> Mapping[str, Any]:
    """It was sent to a log that is lost, and nobody knows whether that had begun it."""
    message = "it came to a log of this cluster that is lost, and may have been carried out; it is not repeated"
    hint = "ote resolve ID --target PATH --as done|failed|retry"
    return {"error": {"code": "in-doubt", "message": message, "hint": hint}}


def resolved(verdict: str, by: Event) -> Final:
    """A person has decided: "done" or "failed"."""
    if verdict == "done":
        return types.SUCCEEDED, {"by": by.id, "result": {"resolved": "done"}}
    return types.FAILED, {"by": by.id, "error": {"code": "resolved", "message": "resolved as failed by a person"}}

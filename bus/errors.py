"""Errors of the bus, and the one shape in which every error reaches people.

OteError                what a user can act on: code, message, field, hint
├── BadMessage          bytes that are no message of ours
├── BadRequest          a request that is refused: a field is wrong
├── NotFound            the thing named does not exist
├── Conflict            it exists already, with another content
├── Unavailable         nobody answered: no server, no responder, a deadline
└── Refused             understood, and not done: the message says why
"""

from __future__ import annotations

from typing import Any


class OteError(Exception):
    """An error that is told to a user: what is wrong (`message`), where (`field`), what to do (`hint`)."""

    code = "internal"
    status = 500

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.hint = hint

    def body(self) -> dict[str, Any]:
        """`{"error": {"code", "message", "field"?, "hint"?}}`."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.field:
            error["field"] = self.field
        if self.hint:
            error["hint"] = self.hint
        return {"error": error}


class BadMessage(OteError):
    """Bytes that are no message of ours."""

    code = "bad-message"
    status = 400


class BadRequest(OteError):
    """A request that is refused because a field is wrong."""

    code = "bad-request"
    status = 400


class NotFound(OteError):
    """The thing that was named does not exist."""

    code = "not-found"
    status = 404


class Conflict(OteError):
    """The thing exists already, with another content."""

    code = "conflict"
    status = 409


class Unavailable(OteError):
    """Nobody answered in time, or there is no way there."""

    code = "unavailable"
    status = 503


class Refused(OteError):
    """Understood, and not done."""

    code = "refused"
    status = 422


ERRORS: dict[str, type[OteError]] = {
    kind.code: kind for kind in (OteError, BadMessage, BadRequest, NotFound, Conflict, Unavailable, Refused)
}


def from_body(body: dict[str, Any]) -> OteError:
    """The error that a service's error body describes."""
    error = body.get("error", body)
    kind = ERRORS.get(str(error.get("code")), OteError)
    return kind(str(error.get("message", "unknown error")), field=error.get("field"), hint=error.get("hint"))

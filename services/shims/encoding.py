"""How requests and answers of shims become bytes: the wire that `docs/shims.md` explains, always JSON."""

from __future__ import annotations

from typing import Any, NoReturn

from bus import wire
from bus.contracts import parse
from bus.errors import BadMessage, BadRequest, OteError
from bus.shim_messages import DescribeAnswer, ExecuteAnswer, ExecuteRequest
from services.shims.base import Answer, Request, ShimError

_SHOWN = 200
EXPECTED = '{"ok": true, "result"?: ...} or {"ok": false, "error": {"code", "message"}}'


def dump_request(request: Request) -> bytes:
    """The bytes of a request. BadRequest if its arguments cannot be JSON."""
    body = {"id": request.id, "attempt": request.attempt, "verb": request.verb, "args": request.args}
    if request.deadline is not None:
        body["deadline"] = request.deadline
    try:
        return wire.dump_body(body)
    except (TypeError, ValueError) as error:
        raise BadRequest(f"the arguments are no JSON: {error}", field="args") from None


def load_request(data: bytes) -> Request:
    """The request in these bytes. BadMessage or BadRequest if they are none."""
    asked = parse(ExecuteRequest, wire.parse_body(data, wire.JSON))
    return Request(asked.id, asked.attempt, asked.verb, asked.args, asked.deadline)


def dump_answer(answer: Answer) -> bytes:
    """The bytes of an answer."""
    body: dict[str, Any] = {"ok": answer.ok}
    if answer.result is not None:
        body["result"] = answer.result
    if answer.error is not None:
        body["error"] = answer.error.body()
    return wire.dump_body(body)


def load_answer(data: bytes) -> Answer:
    """The answer in these bytes; an `error` that is text alone is taken as its message. BadMessage, which
    shows what came and what was expected, if they are none."""
    try:
        body = wire.parse_body(data or b"null", wire.JSON)
        answer = parse(ExecuteAnswer, body)
    except OteError as error:
        _no_answer(data, error, EXPECTED)
    if answer.ok:
        return Answer.done(answer.result)
    if answer.error is None:
        return Answer.failed("failed", "the shim gave no reason")
    if isinstance(answer.error, str):
        return Answer.failed("failed", answer.error)
    place, hint = (body["error"].get(name) for name in ("field", "hint"))
    texts = (text if isinstance(text, str) else None for text in (place, hint))
    return Answer(False, answer.result, ShimError(answer.error.code, answer.error.message, *texts))


def load_description(data: bytes) -> DescribeAnswer:
    """The answer to `describe` in these bytes. BadMessage if they are none."""
    try:
        return parse(DescribeAnswer, wire.parse_body(data or b"null", wire.JSON))
    except OteError as error:
        _no_answer(data, error, '{"kind": ..., "verbs": {VERB: {"idempotent"?: true}}}')


def _no_answer(data: bytes, error: OteError, expected: str) -> NoReturn:
    came = data[:_SHOWN].decode("utf-8", "replace") + ("..." if len(data) > _SHOWN else "")
    raise BadMessage(f"the shim answered {came!r}: expected {expected} ({error.message})") from None

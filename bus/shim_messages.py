"""The wire of the shims, always JSON: `ote.local.shim.<kind>.{describe,execute,watch}`.

A shim that answers only execute, on `ote.local.shim.<kind>` alone, is enough.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from bus.contracts import Answer, Kind, Request, Time, Uuid, Verb


class DescribeRequest(Request):
    """What can this shim do?"""


class ShimVerb(Answer):
    """One verb. `idempotent`: done twice it has the effect of once, so after a crash it may be repeated.
    `read_only`: it changes nothing, so it may be asked without a command; where it is not said, `get` and `list`
    are taken to be."""

    idempotent: bool = False
    read_only: bool | None = None
    description: str | None = None


class DescribeAnswer(Answer):
    """A shim and its verbs."""

    kind: Kind
    version: str | None = None
    verbs: dict[str, ShimVerb]


class ExecuteRequest(Request):
    """One command for a shim; `attempt` counts from 1, `deadline` is UTC."""

    id: Uuid
    attempt: int = Field(ge=1)
    verb: Verb
    args: dict[str, Any]
    deadline: Time | None = None


class ShimError(Answer):
    """Why a shim did not succeed; `code` is a short word for programs."""

    code: str = "failed"
    message: str


class ExecuteAnswer(Answer):
    """What came of it; `error` may be plain text."""

    ok: bool
    result: Any = None
    error: ShimError | str | None = None


class WatchRequest(Request):
    """Tell all objects, then each change, until nobody listens; an empty message ends the answers."""


class WatchAnswer(Answer):
    """One object as it is now, or as it last was."""

    type: Literal["applied", "deleted"]
    object: dict[str, Any]

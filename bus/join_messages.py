"""The public messages of admission: `ote.local.join_token`, `.applicants`, `.rejoin`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bus.contracts import Answer, Line, PathText, Request, Time

#: A token is good for so many seconds, if nothing else is said, and at most.
TOKEN_LIFE, LONGEST_TOKEN_LIFE = 3600.0, 30 * 86_400.0


class JoinTokenRequest(Request):
    """A token for a new child of this tier, or for one whose credential has expired. `ttl` is in seconds; with
    `approval` it is only admitted when somebody accepts it."""

    path: PathText
    tags: list[str] = Field(default_factory=list)
    ttl: Annotated[float, Field(gt=0, le=LONGEST_TOKEN_LIFE)] = TOKEN_LIFE
    approval: bool = False
    actor: Line | None = None


class JoinTokenAnswer(Answer):
    """The token, to be given to `ote join` at the new site; `id` is what the log tells of it."""

    path: str
    token: str
    id: str
    expires: Time


class ApplicantsRequest(Request):
    """Who waits to be accepted?"""


class Applicant(Answer):
    """A cluster that has a token, and waits to be accepted; `key` is its public key."""

    path: str
    key: str
    token: str
    since: Time


class ApplicantsAnswer(Answer):
    """All who wait."""

    applicants: list[Applicant]


class RejoinRequest(Request):
    """This tier has a new token of its parent, since its credential has expired."""

    token: Annotated[str, Field(max_length=100_000)]


class RejoinAnswer(Answer):
    """It is admitted again; its credential is good until `expires` (None: for ever)."""

    path: str
    expires: Time | None = None

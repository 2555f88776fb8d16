"""Live queries between tiers, on `ote.ask.>`, `ote.askunder.>` and `ote.asktag.>`: what is asked, and what one
cluster says. Nobody records either. An empty message on `ote.ask.<path>` asks only who lives there."""

from __future__ import annotations

from typing import Any, TypeVar

import msgpack
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bus.contracts import MAX_WAIT, Kind, PathText, Selector, Verb
from bus.errors import BadMessage, OteError
from bus.messages import TargetError


class _Message(BaseModel):
    # Later versions may add attributes: a tree is never upgraded at one instant.
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    def pack(self) -> bytes:
        """The message's bytes."""
        packed: bytes = msgpack.packb(self.model_dump())
        return packed


class Query(_Message):
    """What `asker` wants to know. Meant are the clusters that fit the selector `to` (with a path for each name in
    it) and whose paths sort behind `after`, up to `last`. `timeout`: seconds that the asker waits."""

    asker: PathText
    to: Selector
    after: str = ""
    last: str
    shim: Kind | None = None
    verb: Verb
    args: dict[str, Any]
    timeout: float = Field(gt=0, le=MAX_WAIT)


class Said(_Message):
    """What the cluster `path` says: `result` if it is `ok`, else `error`."""

    path: PathText
    ok: bool
    result: Any = None
    error: TargetError | None = None


M = TypeVar("M", Query, Said)


def unpack(kind: type[M], payload: bytes) -> M:
    """The query or the answer in these bytes. BadMessage if they are none."""
    try:
        return kind.model_validate(msgpack.unpackb(payload))
    except (OteError, ValueError, ValidationError, msgpack.UnpackException) as error:
        raise BadMessage(f"no {kind.__name__.lower()}: {str(error)[:200] or type(error).__name__}") from None

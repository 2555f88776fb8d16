"""The door: what came from elsewhere is looked at before it comes near the log.

An event whose attributes are wrong could not be stored, ordered or timed, and mail that is not whole could
not be carried out: it is told and left out, and harms nothing beside it. What else an event says is the
affair of its type: whoever reads it takes what is well formed, and lets the rest be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, NotRequired

import structlog
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from bus import paths, subjects, wire
from bus.client import Message
from bus.errors import BadRequest, OteError
from bus.event import Event, parse_time
from bus.paths import is_under
from bus.types import CANCEL, RESOLVE, SUBMITTED
from services.controller.hush import Hush

logger = structlog.get_logger()
_hush = Hush()

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EPOCH = re.compile(r"[0-9a-f]{8}\.[0-9a-f]{16}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_SUBJECT = re.compile(r"[!-~]{1,1000}")
_CHECKSUM = 16
#: What a column of the log holds.
_MOST = 2**63 - 1
_STRICT = ConfigDict(strict=True)


class _Do(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    verb: str
    shim: NotRequired[str]
    args: NotRequired[dict[str, Any]]


class _Submitted(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    command: str
    selector: str
    do: _Do
    digest: str
    count: Annotated[int, Field(ge=1, le=_MOST)]
    key: NotRequired[str]
    lane: NotRequired[str]


class _Cancel(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    command: str


# `as` is no name that a class body could declare.
_Resolve = TypedDict("_Resolve", {"command": str, "as": Literal["done", "failed", "retry"]})

_MAIL: Mapping[str, TypeAdapter[Any]] = {
    SUBMITTED: TypeAdapter(_Submitted),
    CANCEL: TypeAdapter(_Cancel),
    RESOLVE: TypeAdapter(_Resolve),
}


def frame(message: Message) -> list[Event]:
    """The sound events of a frame."""
    try:
        bodies = wire.unpack(message.data)
    except OteError as error:
        if times := _hush.times(message.subject):
            logger.warning("not a frame of events", subject=message.subject, error=str(error), times=times)
        return []
    return sound(bodies, message.subject)


def sound(bodies: Iterable[bytes], origin: str) -> list[Event]:
    """The events in these bodies, without those that are none; `origin` says where they came from."""
    events = []
    for body in bodies:
        try:
            event = Event.decode(body)
            _check(event)
        except OteError as error:
            if times := _hush.times((origin, error.field)):
                logger.warning(
                    "an event is refused", origin=origin, error=error.message, field=error.field, times=times
                )
        else:
            events.append(event)
    return events


# The same paths and lives come with every command.
@lru_cache(maxsize=65_536)
def is_epoch(text: str) -> bool:
    """Whether this can be the name of a life of a log."""
    return _EPOCH.fullmatch(text) is not None


def _check(event: Event) -> None:
    """BadRequest names the attribute that is wrong."""
    _check_origin(event.source, event.type, event.epoch)
    _must(_UUID.fullmatch(event.id), "id")
    _must(event.seq is not None and 1 <= event.seq <= _MOST, "seq")
    _must(_SUBJECT.fullmatch(event.subject), "subject")
    _must(_is_time(event.time), "time")
    _must(event.expiresat is None or _is_time(event.expiresat), "expiresat")
    below = f"{event.source}."
    for path, number, life in event.to:
        # Nearly all pass here at once: with hundreds of addressees a call for each is most of what a look costs.
        if path.startswith(below) and number <= _MOST and paths.is_path(path) and (not life or is_epoch(life)):
            continue
        _check_place(path, number, event.source, "to")
        _must(not life or is_epoch(life), "to")
    for cover in event.supersedes:
        _check_place(cover.path, cover.number, event.source, "supersedes")
        _must(len(cover.checksum) == _CHECKSUM, "supersedes")
    if (data := _MAIL.get(event.type)) is not None:
        _check_mail(event, data)
    elif event.supersedes:
        # Of a later version's mail: what it stands for is ended in the name of its command.
        _must(isinstance(event.data.get("command"), str), "data.command")


# A source says many things of one type in one life.
@lru_cache(maxsize=10_000)
def _check_origin(source: str, type: str, epoch: str) -> None:
    paths.parse_path(source, "source")
    subjects.type_token(type)
    _must(is_epoch(epoch), "epoch")


def _check_mail(event: Event, data: TypeAdapter[Any]) -> None:
    _must(event.to, "to")
    try:
        data.validate_python(event.data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(("data", *map(str, first["loc"])))
        raise BadRequest(f"{event.type}: {field}: {first['msg']}", field=field) from None


def _check_place(path: str, number: int, source: str, field: str) -> None:
    """Mail comes from above its addressees, or from themselves."""
    if not paths.is_path(path):
        paths.parse_path(path, field)
    _must(is_under(path, source) and 1 <= number <= _MOST, field)


def _is_time(text: str) -> bool:
    """Fixed width, so that times sort as text."""
    return _TIME.fullmatch(text) is not None and _is_second(text[:19])


# Events of one second come together.
@lru_cache(maxsize=1000)
def _is_second(text: str) -> bool:
    try:
        parse_time(text)
    except ValueError:
        return False
    return True


def _must(holds: object, field: str) -> None:
    if not holds:
        raise BadRequest(f"event attribute {field} is not what it must be", field=field)

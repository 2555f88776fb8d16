"""What all public messages share: the bases of their models, their kinds of fields, and `parse`.

Requests are strict and refuse fields they do not know: a typing error must not be ignored. Answers let
unknown fields pass: a newer tier may say more than an older client understands.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    model_serializer,
)

from bus.errors import BadRequest
from bus.event import format_time, parse_time
from bus.paths import MAX_NAME, parse_name, parse_path, shown

MAX_WAIT = 3600.0
"""Seconds that a request may wait for its answer."""
MAX_TTL = 10 * 366 * 86_400.0
MAX_LIMIT = 1000
DEFAULT_LIMIT = 100

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class _Message(BaseModel):
    @model_serializer(mode="wrap")
    def _without_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        required = {field.alias or name for name, field in fields.items() if field.is_required()}
        whole: dict[str, Any] = handler(self)
        return {name: value for name, value in whole.items() if value is not None or name in required}

    def dump(self) -> dict[str, Any]:
        """The message as a map, ready for the wire; optional fields that are None are left out."""
        return self.model_dump(by_alias=True)


class Request(_Message):
    """What is asked."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_by_name=True, validate_by_alias=True)


class Answer(_Message):
    """What is answered."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, validate_by_name=True, validate_by_alias=True)


M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], body: Mapping[str, Any]) -> M:
    """The request in this map. BadRequest names the field that is wrong, and hints at what is right."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise _refusal(model, error) from None


def _refusal(model: type[BaseModel], error: ValidationError) -> BadRequest:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    where = shown(field) if not field.isascii() or len(field) > 80 else field or "the request"
    hint = None
    if first["type"] == "missing":
        says = "is missing"
    elif first["type"] == "extra_forbidden":
        says = "is no field of this request"
        hint = _known_fields(model, first["loc"])
    else:
        says = re.sub(r"^(Input|String|Value error,|Dictionary|List) ", "", first["msg"])
    return BadRequest(f"{where}: {says}", field=field[:200] or None, hint=hint)


def _known_fields(model: type[BaseModel], where: tuple[int | str, ...]) -> str | None:
    """The nearest of the fields that stand at this place, or all of them."""
    for step in where[:-1]:
        field = model.model_fields.get(str(step))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return None
        model = field.annotation
    names = [field.alias or name for name, field in model.model_fields.items()]
    near = difflib.get_close_matches(str(where[-1]), names, n=1)
    return (
        f"did you mean {near[0]!r}?" if near else f"its fields are {', '.join(names)}" if names else "it has no fields"
    )


# Kinds of fields ---------------------------------------------------------------------------------


def _uuid(text: str) -> str:
    lower = text.lower()
    if not _UUID.fullmatch(lower):
        raise ValueError(f"{shown(text)} is no UUID: 8-4-4-4-12 hexadecimal digits")
    return lower


def _path(text: str, info: ValidationInfo) -> str:
    return parse_path(text, info.field_name or "path")


def _label(text: str, info: ValidationInfo) -> str:
    return parse_name(text, info.field_name or "name")


def _time(text: str) -> str:
    try:
        moment = parse_time(text)
    except ValueError:
        raise ValueError(f"{shown(text)} is no RFC 3339 time, such as 2026-11-23T06:35:59Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"{shown(text)} has no time zone: add Z for UTC")
    try:
        return format_time(moment)
    except OverflowError:
        raise ValueError(f"{shown(text)} is out of range") from None


def _line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"{shown(text)} holds characters that cannot be printed")
    return text


Uuid = Annotated[str, AfterValidator(_uuid), Field(json_schema_extra={"format": "uuid"})]
"""A UUID in lower case."""
PathText = Annotated[str, AfterValidator(_path)]
"""A cluster's path."""
Time = Annotated[str, AfterValidator(_time), Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339 text, brought into the form of an event's `time`."""
Line = Annotated[str, Field(min_length=1, max_length=253), AfterValidator(_line)]
"""A short text on one line."""
Selector = Annotated[str, Field(min_length=1, max_length=16_384)]
"""Which clusters: `tag:camera and not root.east.>`."""
Kind = Annotated[str, AfterValidator(_label), Field(json_schema_extra={"maxLength": MAX_NAME})]
"""The kind of a shim: an RFC 1123 label."""
Verb = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$", max_length=MAX_NAME)]
"""What a shim is to do."""
Wait = Annotated[float, Field(gt=0, le=MAX_WAIT)]
"""Seconds to wait for what is asked."""
Ttl = Annotated[float, Field(gt=0, le=MAX_TTL)]
"""Seconds from the submit after which a command is not started any more."""
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]
"""How many at most."""
Count = Annotated[int, Field(ge=0)]
Row = Annotated[int, Field(ge=0, lt=2**63)]
"""A place in a tier's log, good for this tier only."""

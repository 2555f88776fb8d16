"""What many commands take: which tier to talk to, in which form to print, spans of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter, Token
from cyclopts.validators import Number

from services.cli.ages import moment, seconds, size_of

Form = Literal["table", "wide", "json", "yaml", "name"]

WAIT = 60.0

_TIER = Group("Which tier", sort_key=90)


def _converter(parse: Callable[[str], Any]) -> Callable[[Any, Sequence[Token]], Any]:
    return lambda _, tokens: parse(tokens[0].value)


#: Seconds, written `90`, `90s`, `5m`, `2h`, `7d`.
Span = Annotated[float, Parameter(converter=_converter(seconds), metavar="TIME")]
#: Bytes, written `500MB`, `2GB`, or as a number.
Size = Annotated[int, Parameter(converter=_converter(size_of), metavar="SIZE")]
#: A time, written as RFC 3339 or as a span back from now.
Moment = Annotated[str, Parameter(converter=_converter(moment), metavar="TIME")]
#: `--wait`, `--wait=5m`, `--no-wait`.
Wait = Annotated[bool | float, Parameter(converter=_converter(seconds), metavar="[TIME]", negative="--no-wait")]


def wait_seconds(wait: bool | float) -> float | None:
    """How long to wait; None is not at all."""
    if wait is False:
        return None
    return WAIT if wait is True else wait


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Paging:
    """Options of every list. What is left out is told: `next` in JSON and YAML, a line on stderr for people."""

    limit: Annotated[int | None, Parameter(validator=Number(gte=1))] = None
    """At most so many."""
    after: Annotated[str | None, Parameter(metavar="NEXT")] = None
    """Go on behind this row, as the list before said."""


ALL = Paging()


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Options of every command that asks a tier."""

    output: Annotated[Form, Parameter(name=["--output", "-o"], show_default=True)] = "table"
    """Tables for people; json, yaml or name for programs."""
    server: Annotated[str | None, Parameter(group=_TIER, metavar="URL")] = None
    """The NATS URL of a tier; also OTE_SERVER."""
    creds: Annotated[Path | None, Parameter(group=_TIER, metavar="FILE")] = None
    """The credential of a user of that tier (ote user); also OTE_CREDS."""
    lab: Annotated[Path | None, Parameter(group=_TIER, metavar="DIR")] = None
    """The directory of a lab; also OTE_LAB. ./.ote-lab is found by itself."""
    tier: Annotated[str | None, Parameter(group=_TIER, metavar="PATH")] = None
    """The lab's tier to talk to; its root if not given."""

    @property
    def for_people(self) -> bool:
        """Whether what is printed is read by people."""
        return self.output in ("table", "wide")


COMMON = Common()

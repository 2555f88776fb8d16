"""The file that says which programs may be run, and with which arguments.

disk:                               # the verb
  argv: [df, -h, "{path}"]          # what runs: no shell; {path} is filled in, as a part of one word
  args: {path: "/[a-z/]*"}          # what the whole value must match; {pattern, default} may be left out
  timeout: 10                       # seconds (60)
  env: {LANG: C}
  idempotent: true                  # twice has the effect of once (false)
  readOnly: true                    # it changes nothing, and may be asked live (false)
  description: how full a disk is
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from bus.errors import BadRequest
from bus.paths import shown

_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LONGEST = 4096
"""Characters of one argument."""
FIELD = "commands"


class Argument(BaseModel):
    """What the whole of a value must match, and the value where none is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pattern: str
    default: str | None = None

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return value


class Program(BaseModel):
    """One program that may be run."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    argv: Annotated[list[str], Field(min_length=1)]
    args: dict[str, Argument] = {}
    timeout: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    env: dict[str, str] = {}
    idempotent: bool = False
    read_only: Annotated[bool, Field(alias="readOnly")] = False
    description: str | None = None

    @field_validator("args", mode="before")
    @classmethod
    def _patterns(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: {"pattern": one} if isinstance(one, str) else one for name, one in value.items()}

    @model_validator(mode="after")
    def _filled(self) -> Program:
        if _PLACE.search(self.argv[0]):
            raise ValueError("argv: which program runs can not be an argument")
        places = {name for word in self.argv for name in _PLACE.findall(word)}
        if unknown := sorted(places ^ self.args.keys()):
            raise ValueError(f"{unknown[0]}: must stand in argv, as {{{unknown[0]}}}, and in args with its pattern")
        return self

    def words(self, args: Mapping[str, Any]) -> list[str]:
        """The program and its arguments, filled in. BadRequest names the argument that is wrong."""
        if unknown := sorted(set(args) - self.args.keys()):
            known = ", ".join(self.args) or "none"
            raise BadRequest(f"unknown argument {shown(unknown[0])}", field=unknown[0][:80], hint=f"known are {known}")
        values = {name: _value(name, argument, args.get(name)) for name, argument in self.args.items()}
        for word in self.argv[1:]:
            if (found := _PLACE.match(word)) and values[found[1]].startswith("-"):
                # It would be taken for an option: where one is meant, argv spells it out.
                raise BadRequest(f"{found[1]}: Invalid value: must not begin with '-'", field=found[1])
        return [_PLACE.sub(lambda found: values[found[1]], word) for word in self.argv]


def _value(name: str, argument: Argument, given: Any) -> str:
    if given is None:
        given = argument.default
    if given is None:
        raise BadRequest(f"{name}: Required value: it must match {argument.pattern}", field=name)
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise BadRequest(f"{name}: Invalid value: must be text or a number", field=name)
    value = str(given)
    if len(value) > _LONGEST or "\0" in value or not re.fullmatch(argument.pattern, value):
        raise BadRequest(f"{name}: Invalid value: {shown(value)}: must match {argument.pattern}", field=name)
    return value


_Programs: TypeAdapter[dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")], Program]] = TypeAdapter(
    dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")], Program]
)


def read_programs(file: Path) -> dict[str, Program]:
    """The programs by verb, of a file of YAML or JSON. BadRequest says where it is wrong."""
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{file} can not be read: {error}", field=FIELD) from None
    except yaml.YAMLError as error:
        raise BadRequest(f"{file} is no YAML: {error}", field=FIELD) from None
    try:
        return _Programs.validate_python(found or {})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise BadRequest(
            f"{file}: {where}: {first['msg']}", field=FIELD, hint="docs/shims.md shows such a file"
        ) from None

"""Paths of clusters: `root.east.site1` is names joined by dots, from the root down.

A name is an RFC 1123 label, and so every name is a legal token of a NATS subject and every path a
legal part of one. The functions below the parsers trust a path to be valid, as it is once parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import takewhile
from typing import NewType

from bus.errors import BadRequest

Path = NewType("Path", str)
"""A path that was parsed; where it is only read, any text will do."""

MAX_DEPTH = 10
"""How many names a path may have: the root is one of them."""
MAX_NAME = 63

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(_LABEL)
_PATH = re.compile(rf"{_LABEL}(?:\.{_LABEL}){{0,{MAX_DEPTH - 1}}}")
_SHOWN = 80


def parse_path(text: str, field: str = "path") -> Path:
    """The path that `text` spells. BadRequest, for this field of the request, says what is wrong."""
    if _PATH.fullmatch(text):
        return Path(text)
    raise _path_error(text, field)


# The same paths come with every command.
@lru_cache(maxsize=65_536)
def is_path(text: str) -> bool:
    """Whether `parse_path` takes it."""
    return _PATH.fullmatch(text) is not None


def parse_name(text: str, field: str = "name") -> str:
    """The name of a cluster, alone. BadRequest says what is wrong."""
    if _NAME.fullmatch(text):
        return text
    raise BadRequest(_name_fault(text), field=field, hint=_name_hint(text))


def shown(text: str) -> str:
    """Hostile text as an error may repeat it: quoted, and cut where it is long."""
    quoted = ascii(text)
    return quoted if len(quoted) <= _SHOWN else f"{quoted[:_SHOWN]}... ({len(quoted) - 2} characters)"


def _path_error(text: str, field: str) -> BadRequest:
    if not text:
        return BadRequest("the path is empty", field=field, hint="a path looks like root.east.site1")
    names = text.split(".")
    for name in names:
        if not _NAME.fullmatch(name):
            return BadRequest(f"path {shown(text)}: {_name_fault(name)}", field=field, hint=_name_hint(name))
    return BadRequest(
        f"path {shown(text)} has {len(names)} names: the limit is {MAX_DEPTH}",
        field=field,
        hint="attach the cluster nearer to the root",
    )


def _name_fault(name: str) -> str:
    if not name:
        return "a name is empty"
    if len(name) > MAX_NAME:
        return f"name {shown(name)} is longer than {MAX_NAME} characters"
    return f"name {shown(name)} is no RFC 1123 label: a-z, 0-9 and '-', with a letter or digit at both ends"


def _name_hint(name: str) -> str:
    guess = re.sub(r"[^a-z0-9]+", "-", name.lower())[:MAX_NAME].strip("-")
    return f"try {guess!r}" if guess else "a name looks like site1"


def parent(path: str) -> Path | None:
    """The path one level up; None above the root."""
    above, dot, _ = path.rpartition(".")
    return Path(above) if dot else None


def name(path: str) -> str:
    """The last name."""
    return path.rpartition(".")[2]


def depth(path: str) -> int:
    """How many levels below the root: 0 is the root itself."""
    return path.count(".")


def ancestors(path: str) -> list[Path]:
    """Every path above this one, nearest first; the root has none."""
    names = path.split(".")
    return [Path(".".join(names[:count])) for count in range(len(names) - 1, 0, -1)]


def is_under(path: str, scope: str) -> bool:
    """Whether `path` is the scope or below it."""
    return path == scope or (path.startswith(scope) and path[len(scope)] == ".")


def common_scope(paths: Iterable[str]) -> Path:
    """The lowest path that all of these are at or below. ValueError if there is none."""
    split = [path.split(".") for path in paths]
    # What the first and the last in order share, all between them share.
    first, last = min(split, default=[]), max(split, default=[])
    common = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))]
    if not common:
        raise ValueError("no paths, or paths of different trees")
    return Path(".".join(common))

"""What a selector means, as a tree of small values.

`str` of a tree is its normal form, in words, which survive shells and YAML; it parses back to the same
tree. Trees are kept flat by `any_of`, `all_of` and `negated`: no `or` directly within an `or`, no `and`
within an `and`, no double negation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

KEYWORDS = frozenset({"or", "and", "not"})


@dataclass(frozen=True)
class Name:
    """The one cluster with this name."""

    name: str

    def __str__(self) -> str:
        return f"name:{self.name}" if self.name in KEYWORDS or ":" in self.name else self.name


@dataclass(frozen=True)
class Path:
    """The cluster with this path."""

    path: str

    def __str__(self) -> str:
        return self.path if "." in self.path and ":" not in self.path else f"path:{self.path}"


@dataclass(frozen=True)
class Under:
    """The clusters at or below the top: a path, or the name of one cluster."""

    top: str

    def __str__(self) -> str:
        return f"under:{self.top}"


@dataclass(frozen=True)
class Tag:
    """The clusters with a tag of this key and, unless it is None, of this value."""

    key: str
    value: str | None

    def __str__(self) -> str:
        return f"tag:{self.key}" if self.value is None else f"tag:{self.key}={self.value}"


@dataclass(frozen=True)
class Pattern:
    """Text in which each `*` stands for any number of characters."""

    pattern: str

    @cached_property
    def _parts(self) -> list[str]:
        return self.pattern.split("*")

    def fits(self, text: str) -> bool:
        """Whether the whole text fits. Linear in the text, whatever the pattern: a regular expression
        with many stars could be made to run for hours."""
        first, *middle, last = self._parts
        if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
            return False
        at, end = len(first), len(text) - len(last)
        for part in middle:
            found = text.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True


@dataclass(frozen=True)
class Glob(Pattern):
    """The clusters of which the name, the path or a tag fits."""

    def __str__(self) -> str:
        inner = self.pattern[1:-1]
        whole = self.pattern.startswith("*") and self.pattern.endswith("*") and inner != ""
        return f"like:{inner}" if whole else self.pattern


@dataclass(frozen=True)
class TagGlob(Pattern):
    """The clusters of which a tag fits, written `key` or `key=value`."""

    def __str__(self) -> str:
        return f"tag:{self.pattern}"


@dataclass(frozen=True)
class Not:
    """All clusters but these."""

    part: Expr

    def __str__(self) -> str:
        return f"not ({self.part})" if isinstance(self.part, And | Or) else f"not {self.part}"


@dataclass(frozen=True)
class And:
    """The clusters that every part selects."""

    parts: tuple[Expr, ...]

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, Or) else str(part) for part in self.parts)


@dataclass(frozen=True)
class Or:
    """The clusters that any part selects."""

    parts: tuple[Expr, ...]

    def __str__(self) -> str:
        return " or ".join(map(str, self.parts))


Leaf: TypeAlias = Name | Path | Under | Tag | Glob | TagGlob
Expr: TypeAlias = Leaf | Not | And | Or


def any_of(parts: list[Expr]) -> Expr:
    """The parts joined by `or`; a single part is itself."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, Or) else (part,))]
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def all_of(parts: list[Expr]) -> Expr:
    """The parts joined by `and`; a single part is itself."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, And) else (part,))]
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def negated(part: Expr) -> Expr:
    """The opposite of the part."""
    return part.part if isinstance(part, Not) else Not(part)


def glob(pattern: str) -> str:
    """The pattern without doubled stars."""
    while "**" in pattern:
        pattern = pattern.replace("**", "*")
    return pattern

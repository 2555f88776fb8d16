"""The text of a selector becomes its tree.

    any  := all (("," | "or") all)*
    all  := one (("&" | "and") one)*
    one  := ("!" | "not")* ("(" any ")" | term)
    term := NAME | PATH | PATH.> | > | GLOB | PREFIX:REST

Every error is a BadRequest on the field `to` that says at which character it is, what was expected
there, and, where one can guess what was meant, how that is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from bus.errors import BadRequest
from bus.paths import shown
from services.controller.selector.expr import (
    Expr,
    Glob,
    Leaf,
    Name,
    Path,
    Tag,
    TagGlob,
    Under,
    all_of,
    any_of,
    glob,
    negated,
)
from services.controller.selector.text import nearest

MAX_DEPTH = 32
MAX_WIDE = 64
"""How many globs, subtrees and tags one selector may hold: each may look at every cluster."""

_TOKEN = re.compile(r"\s*([,&!()]|[^\s,&!()]+)")
_STRANGE = re.compile(r"[|;\"'`\\]")
_OPERATORS = {",": "or", "or": "or", "&": "and", "and": "and", "!": "not", "not": "not", "(": "(", ")": ")"}
_TERM = "a name, a path or a tag"
_HINTS = {
    "|": "`or` is written `or` or `,`",
    "&": "`and` is written `and`, or with one `&`",
    "OR": "`or`, `and` and `not` are lower-case",
    "AND": "`or`, `and` and `not` are lower-case",
    "NOT": "`or`, `and` and `not` are lower-case",
}


class _Token(NamedTuple):
    at: int
    text: str
    operator: str | None


def parse(text: str) -> Expr:
    """The tree of this text. BadRequest (field `to`) if it is no selector."""
    _check_characters(text)
    tokens = [_Token(found.start(1), found[1], _OPERATORS.get(found[1])) for found in _TOKEN.finditer(text)]
    if not tokens:
        raise BadRequest(
            f"the selector is empty: expected {_TERM}", field="to", hint="`>` selects every cluster of this tier"
        )
    return _Parser(text, tokens).whole()


def _check_characters(text: str) -> None:
    """Refuses what no selector holds: a quote or a `;` that slipped through a shell would be part of a name."""
    found = _STRANGE.search(text)
    at = found.start() if found else len(text)
    if not text.isprintable():
        at = next((i for i, char in enumerate(text[:at]) if not (char.isprintable() or char.isspace())), at)
    if at < len(text):
        raise _bad(
            f"character {at + 1}: expected a name, a path, a tag or an operator, found {shown(text[at])}",
            _HINTS.get(text[at]),
        )


class _Parser:
    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self._text = text
        self._tokens = tokens
        self._next = 0
        self._depth = 0
        self._wide = 0

    def whole(self) -> Expr:
        expr = self._any()
        if (token := self._peek()) is not None:
            raise self._unexpected("`or`, `and` or the end", token)
        return expr

    def _any(self) -> Expr:
        return any_of(self._joined("or", self._all))

    def _all(self) -> Expr:
        return all_of(self._joined("and", self._one))

    def _joined(self, operator: str, part: Callable[[], Expr]) -> list[Expr]:
        parts = [part()]
        while self._take(operator):
            parts.append(part())
        return parts

    def _one(self) -> Expr:
        opposite = False
        while self._take("not"):
            opposite = not opposite
        expr = self._group() if self._take("(") else self._term()
        return negated(expr) if opposite else expr

    def _group(self) -> Expr:
        opened = self._tokens[self._next - 1]
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _bad(f"character {opened.at + 1}: more than {MAX_DEPTH} parentheses within each other")
        expr = self._any()
        self._depth -= 1
        if not self._take(")"):
            raise self._unexpected(f"`)` for the `(` at character {opened.at + 1}", self._peek())
        return expr

    def _term(self) -> Expr:
        token = self._peek()
        if token is None or token.operator:
            raise self._unexpected(_TERM, token)
        self._next += 1
        leaf = _leaf(token)
        if not isinstance(leaf, Name | Path):
            self._wide += 1
            if self._wide > MAX_WIDE:
                raise _bad(f"more than {MAX_WIDE} globs, subtrees and tags", "name the clusters, or their common tag")
        return leaf

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self, operator: str) -> bool:
        token = self._peek()
        if token is None or token.operator != operator:
            return False
        self._next += 1
        return True

    def _unexpected(self, expected: str, token: _Token | None) -> BadRequest:
        if token is None:
            return _bad(f"character {len(self._text) + 1}: expected {expected}, found the end")
        hint = _HINTS.get(token.text)
        if token.text == "!" and self._text.startswith("!=", token.at):
            hint = "`!=` is written `not tag:KEY=VALUE`"
        return _bad(f"character {token.at + 1}: expected {expected}, found {shown(token.text)}", hint)


def _leaf(token: _Token) -> Leaf:
    """The meaning of one word."""
    word = token.text
    prefix, colon, rest = word.partition(":")
    if not colon:
        return _bare(word, token)
    if prefix not in _PREFIXES:
        near = nearest(prefix, _PREFIXES)
        known = ", ".join(f"`{known}:`" for known in _PREFIXES)
        raise _bad(
            f"character {token.at + 1}: expected one of the prefixes {known}, found {shown(prefix + ':')}",
            f"did you mean {shown(f'{near}:{rest}')}?" if near else None,
        )
    if not rest:
        raise _bad(f"character {token.at + len(prefix) + 2}: expected {_PREFIX_NEEDS[prefix]} right after `{prefix}:`")
    return _PREFIXES[prefix](rest, token)


def _bare(word: str, token: _Token) -> Leaf:
    if word == ">":
        return Glob("*")
    if word.endswith(".>"):
        return _under(word[:-2], token)
    if "*" in word:
        return Glob(glob(_without_arrow(word, token)))
    return _path(word, token) if "." in word else _name(word, token)


def _name(word: str, token: _Token) -> Name:
    if "." in word:
        raise _bad(
            f"character {token.at + 1}: expected a name, which has no dots, found {shown(word)}",
            "a path is written without `name:`",
        )
    return Name(_exact(word, token))


def _path(word: str, token: _Token) -> Path:
    return Path(_exact(word, token))


def _under(word: str, token: _Token) -> Under:
    return Under(_exact(word, token))


def _like(word: str, token: _Token) -> Glob:
    return Glob(glob(f"*{_without_arrow(word, token)}*"))


def _tag(word: str, token: _Token) -> Tag | TagGlob:
    key, equals, value = word.partition("=")
    if not key:
        raise _bad(f"character {token.at + len('tag:') + 1}: expected the key of a tag, found '='")
    if "*" in word:
        return TagGlob(glob(word))
    return Tag(key, value if equals else None)


def _exact(word: str, token: _Token) -> str:
    if "*" in word:
        raise _bad(
            f"character {token.at + 1}: expected an exact name or path, found {shown(word)} with a `*`",
            "a glob has no prefix but `like:` and `tag:`",
        )
    if not word:
        raise _bad(f"character {token.at + 1}: expected a path before `.>`")
    return _without_arrow(word, token)


def _without_arrow(word: str, token: _Token) -> str:
    if ">" in word:
        raise _bad(
            f"character {token.at + token.text.index('>') + 1}: `>` stands alone, or after a path and a dot",
            "a subtree is written `root.east.>` or `under:root.east`",
        )
    return word


_PREFIXES: dict[str, Callable[[str, _Token], Leaf]] = {
    "tag": _tag,
    "under": _under,
    "like": _like,
    "name": _name,
    "path": _path,
}
_PREFIX_NEEDS = {"tag": "a tag", "under": "a path", "like": "some text", "name": "a name", "path": "a path"}


def _bad(message: str, hint: str | None = None) -> BadRequest:
    return BadRequest(message, field="to", hint=hint)

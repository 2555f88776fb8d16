"""Which clusters a selector selects, or an error that says what was looked at."""

from __future__ import annotations

from collections.abc import Sequence

from bus.errors import BadRequest, NotFound
from bus.paths import is_under, shown
from services.controller.selector.expr import And, Expr, Glob, Name, Not, Or, Path, Tag, TagGlob, Under
from services.controller.selector.index import Candidate, Index, indexed, tag_text
from services.controller.selector.parser import parse
from services.controller.selector.text import listed, nearest


def resolve(selector: Expr | str, clusters: Sequence[Candidate] | Index, *, scope: str) -> list[str]:
    """The paths of the selected clusters, sorted; never empty.

    `clusters` are all that can be selected; `scope` is the path of the tier that knows them. Errors, all
    on the field `to`: BadRequest for a syntax error and for a name that several clusters have, NotFound
    for a name, path or tag that no cluster has, and for a selector that fits no cluster.
    """
    expr = parse(selector) if isinstance(selector, str) else selector
    resolver = _Resolver(indexed(clusters), scope)
    selected = resolver.select(expr)
    if not selected:
        raise resolver.nothing(expr)
    return sorted(selected)


class _Resolver:
    def __init__(self, index: Index, scope: str) -> None:
        self._index = index
        self._scope = scope

    def select(self, expr: Expr) -> set[str] | frozenset[str]:
        match expr:
            case Or(parts):
                return set().union(*map(self.select, parts))
            case And(parts):
                return frozenset.intersection(*(frozenset(self.select(part)) for part in parts))
            case Not(part):
                return self._index.paths - self.select(part)
            case Name(name):
                return {self._named(name)}
            case Path(path):
                return {self._at(path)}
            case Under(top):
                return self._below(top)
            case Tag(key, value):
                return self._tagged(key, value)
            case Glob("*"):
                return self._index.paths
            case Glob():
                return self._globbed(expr) | self._tag_globbed(expr)
            case TagGlob():
                return self._tag_globbed(expr)

    def nothing(self, expr: Expr) -> NotFound:
        """The error of a selector that fits no cluster."""
        hint = None
        if isinstance(expr, And):
            hint = "alone, " + listed([f"{part} selects {len(self.select(part))}" for part in expr.parts])
        elif isinstance(expr, Glob):
            hint = "a glob looks at names, paths and tags"
        return self._missing(f"{shown(str(expr))} selects none of", hint)

    def _named(self, name: str) -> str:
        paths = self._index.names.get(name, [])
        if not paths:
            raise self._unknown(name, f"no cluster is named {shown(name)} among")
        if len(paths) > 1:
            raise BadRequest(
                f"{len(paths)} clusters are named {shown(name)}: {listed(paths)}",
                field="to",
                hint="write the path of the one that you mean"
                + (f"; `path:{name}` is the one at the top" if name in paths else ""),
            )
        return paths[0]

    def _at(self, path: str) -> str:
        if path not in self._index.paths:
            raise self._unknown(path, f"no cluster has the path {shown(path)} among")
        return path

    def _below(self, top: str) -> set[str]:
        if "." not in top and top not in self._index.paths and top in self._index.names:
            top = self._named(top)
        paths = self._index.under(top)
        if not paths or (is_under(self._scope, top) and top != self._scope):
            raise self._unknown(top, f"no cluster is at or below {shown(top)} among")
        return set(paths)

    def _tagged(self, key: str, value: str | None) -> set[str]:
        paths = self._index.keys.get(key) if value is None else self._index.tags.get((key, value))
        if not paths:
            text = key if value is None else f"{key}={value}"
            raise self._missing(f"no cluster has the tag {shown(text)} among", self._tag_hint(key, text))
        return paths

    def _globbed(self, pattern: Glob) -> set[str]:
        named = (paths for name, paths in self._index.names.items() if pattern.fits(name))
        return set(filter(pattern.fits, self._index.paths)).union(*named)

    def _tag_globbed(self, pattern: Glob | TagGlob) -> set[str]:
        return set().union(*(paths for tag, paths in self._index.tags.items() if pattern.fits(tag_text(*tag))))

    def _unknown(self, word: str, message: str) -> NotFound:
        return self._missing(message, self._cluster_hint(word))

    def _missing(self, message: str, hint: str | None) -> NotFound:
        count = len(self._index.paths)
        looked_at = f"{count} cluster{'' if count == 1 else 's'} under {self._scope}"
        return NotFound(f"{message} {looked_at}", field="to", hint=hint)

    def _cluster_hint(self, word: str) -> str | None:
        key, equals, value = word.partition("=")
        if key in self._index.keys and (not equals or (key, value) in self._index.tags):
            return f"{shown(word)} is a tag: write `tag:{word}`"
        if is_under(self._scope, word):
            return f"this tier commands what is at or below {self._scope}"
        near = nearest(word, self._index.paths if "." in word else self._index.names)
        return f"did you mean {shown(near)}?" if near else None

    def _tag_hint(self, key: str, text: str) -> str | None:
        if values := sorted(value for known, value in self._index.tags if known == key and value):
            return f"{shown(key)} has the values {listed(values)}"
        if key in self._index.keys:
            return f"it has no value: write `tag:{key}`"
        if text in self._index.names or text in self._index.paths:
            return f"{shown(text)} is a cluster: write it without `tag:`"
        near = nearest(text, {tag_text(*tag) for tag in self._index.tags} | self._index.keys.keys())
        return f"did you mean {shown(f'tag:{near}')}?" if near else None

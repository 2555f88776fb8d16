"""Selectors of live queries: who is asked evaluates them alone, without knowing any other cluster."""

from __future__ import annotations

from bus.paths import is_under
from services.controller.selector.expr import And, Expr, Glob, Name, Not, Or, Path, Tag, TagGlob, Under
from services.controller.selector.index import Candidate, Index, tag_text


def located(expr: Expr, index: Index) -> Expr:
    """The selector with a path for each name, so that it means the same to who knows no other cluster.
    The selector must be one that `resolve` accepts."""
    match expr:
        case Or(parts):
            return Or(tuple(located(part, index) for part in parts))
        case And(parts):
            return And(tuple(located(part, index) for part in parts))
        case Not(part):
            return Not(located(part, index))
        case Name(name):
            return Path(index.names[name][0])
        case Under(top) if top not in index.paths and top in index.names:
            return Under(index.names[top][0])
        case _:
            return expr


def fits(expr: Expr, cluster: Candidate) -> bool:
    """Whether a located selector means this cluster."""
    match expr:
        case Or(parts):
            return any(fits(part, cluster) for part in parts)
        case And(parts):
            return all(fits(part, cluster) for part in parts)
        case Not(part):
            return not fits(part, cluster)
        case Name(name):
            return cluster.path.rpartition(".")[2] == name
        case Path(path):
            return cluster.path == path
        case Under(top):
            return is_under(cluster.path, top)
        case Tag(key, value):
            return key in cluster.tags and value in (None, cluster.tags[key])
        case Glob():
            name = cluster.path.rpartition(".")[2]
            return expr.fits(cluster.path) or expr.fits(name) or _tag_fits(expr, cluster)
        case TagGlob():
            return _tag_fits(expr, cluster)


def _tag_fits(pattern: Glob | TagGlob, cluster: Candidate) -> bool:
    return any(pattern.fits(tag_text(*tag)) for tag in cluster.tags.items())

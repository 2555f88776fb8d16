"""Which clusters a command goes to: the one grammar of selectors, for the API, the CLI and kubectl.

    site1                           the cluster with this name (`name:site1`, where the name is a word below)
    root.east.site1                 the cluster with this path (`path:root` for a path of one name)
    root.east.>   under:root.east   a subtree, its top included; `>` alone is everything
    *cam*         like:cam          a glob over names, paths and tags
    tag:camera    tag:zone=eu       clusters with the tag (`tag:zone`: whatever its value; `tag:cam*`: a glob)
    , or    & and    ! not    ( )   `not` binds before `and`, `and` before `or`

Everything is exact unless there is a `*` or `>`. What a selector names must exist: a name, path or tag
that no cluster has is an error wherever it stands, so that `not tag:camrea` cannot mean everything.
"""

from services.controller.selector.expr import And, Expr, Glob, Name, Not, Or, Path, Tag, TagGlob, Under
from services.controller.selector.index import Candidate, Index, common_tag
from services.controller.selector.live import fits, located
from services.controller.selector.parser import parse
from services.controller.selector.resolve import resolve

__all__ = [
    "And",
    "Candidate",
    "Expr",
    "Glob",
    "Index",
    "Name",
    "Not",
    "Or",
    "Path",
    "Tag",
    "TagGlob",
    "Under",
    "common_tag",
    "fits",
    "located",
    "parse",
    "resolve",
]

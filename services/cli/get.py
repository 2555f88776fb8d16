"""`ote get`: lists of what this tier knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from operator import itemgetter
from shlex import quote
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.text import Text

from services.cli.local_api import local_api
from services.cli.options import ALL, COMMON, Common, Moment, Paging
from services.cli.printing import note, show, show_data, show_names
from services.cli.views.clusters import cluster_table, cluster_tree
from services.cli.views.commands import command_table
from services.cli.views.links import links_view
from services.cli.views.objects import object_name, object_table

#: Commands that are listed where no limit is given.
LATEST = 100

app = App(name="get", help="Lists clusters, commands, objects or links.")


@app.command
async def clusters(
    selector: str | None = None, /, *, tree: bool = False, paging: Paging = ALL, common: Common = COMMON
) -> None:
    """Lists clusters: all that this tier knows, or those that a selector names.

    For example:

        ote get clusters --tree
        ote get clusters 'tag:camera and under:root.east' -o wide
        ote get clusters like:cam -o name

    Parameters
    ----------
    selector
        site1, root.east.site1, under:root.east, tag:camera, like:cam, with and, or, not and parentheses.
    tree
        Draw the tree.
    """
    async with local_api(common) as api:
        rows, more = await api.listed("clusters", {"select": selector}, paging)
    draw: Callable[..., Text] = cluster_tree if tree else cluster_table
    _print(
        "clusters",
        rows,
        itemgetter("path"),
        common,
        lambda: _drawn(draw, rows, wide=common.output == "wide" and not tree),
        more,
    )


@app.command
async def commands(
    *,
    pending: bool = False,
    on: Annotated[str | None, Parameter(metavar="SELECTOR")] = None,
    paging: Paging = ALL,
    common: Common = COMMON,
) -> None:
    """Lists commands, the newest first: 100, or as many as --limit says.

    For example:

        ote get commands
        ote get commands --pending --on root.east.site1
        ote get commands --limit 5 -o json

    Parameters
    ----------
    pending
        Only those with targets that are not final.
    on
        Only those with a target among these clusters.
    """
    async with local_api(common) as api:
        request = {"pending": pending or None, "on": on}
        rows, more = await api.listed("commands", request, replace(paging, limit=paging.limit or LATEST))
    _print(
        "commands",
        rows,
        itemgetter("id"),
        common,
        lambda: _drawn(command_table, rows, wide=common.output == "wide"),
        more,
    )


@app.command
async def objects(
    *,
    on: Annotated[str | None, Parameter(metavar="SELECTOR")] = None,
    kind: str | None = None,
    namespace: Annotated[str | None, Parameter(name=["--namespace", "-n"])] = None,
    name: str | None = None,
    at: Moment | None = None,
    paging: Paging = ALL,
    common: Common = COMMON,
) -> None:
    """Lists the objects of clusters, as this tier knows them: also of those that are offline, as they last were.

    For example:

        ote get objects --on site1 --kind Deployment
        ote get objects -n shop --at 10m

    Parameters
    ----------
    on
        Only those of these clusters.
    kind
        Only those of this kind: Deployment, ConfigMap ...
    namespace
        Only those in this namespace.
    name
        Only those of this name.
    at
        As they were at this time: 10m, 2h, or 2026-11-23T08:00:00Z.
    """
    async with local_api(common) as api:
        request = {"on": on, "kind": kind, "namespace": namespace, "name": name, "at": at}
        rows, more = await api.listed("objects", request, paging)
    _print("objects", rows, object_name, common, lambda: _drawn(object_table, rows, wide=common.output == "wide"), more)


@app.command
async def links(*, common: Common = COMMON) -> None:
    """Shows the links of this tier: to whom it is attached, where else it could be, and who is attached to it.

    For example:

        ote get links --tier root.east.site1
        ote get links -o json
    """
    async with local_api(common) as api:
        answer = await api.ask("links")
    if common.output == "name":
        show_names(place["path"] for place in answer["places"])
    elif common.for_people:
        show(links_view(answer, datetime.now(UTC)))
    else:
        show_data(answer, common.output)


def _drawn(draw: Callable[..., Text], rows: Sequence[dict[str, Any]], **options: bool) -> Text:
    return draw(rows, datetime.now(UTC), **{name: value for name, value in options.items() if value})


def _print(
    what: str,
    rows: list[dict[str, Any]],
    name: Callable[[Any], str],
    common: Common,
    draw: Callable[[], Text],
    more: str | None = None,
) -> None:
    """Prints a list; `more` says where it goes on."""
    if more and (common.for_people or common.output == "name"):
        note(f"there are more {what}: --after {quote(more)}")
    if common.output == "name":
        show_names(map(name, rows))
    elif not common.for_people:
        show_data({what: rows, **({"next": more} if more else {})}, common.output)
    elif rows:
        show(draw())
    else:
        note(f"no {what}")

"""`ote join-token`, `ote accept`, `ote revoke` and `ote rotate`: who is a cluster of the tree."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import Parameter

from bus import paths
from bus.errors import BadRequest
from services.cli.ages import since
from services.cli.exits import Exit
from services.cli.local_api import local_api
from services.cli.options import COMMON, Common, Span, Wait, wait_seconds
from services.cli.printing import note, show, show_data, show_names
from services.cli.render import table
from services.cli.sending import Sending, actor, send
from services.tier.settings import TIER_SHIM

HOUR = 3600.0


async def join_token(
    *,
    path: str,
    tag: Annotated[list[str] | None, Parameter(metavar="TAG", negative=())] = None,
    ttl: Span = HOUR,
    require_approval: bool = False,
    common: Common = COMMON,
) -> None:
    """Gives out a token with which a new cluster joins, below the tier that is asked.

    It is good once, for this path. With it the new site makes its own keys: ote join TOKEN. Also a cluster whose
    credential has expired while it was away comes back by a new token.

    For example:

        ote join-token --path root.east.site9 --tag camera --ttl 1h
        ote join-token --path root.west --require-approval

    Parameters
    ----------
    path
        The path of the new cluster: root.east.site9. The tier that is asked is its parent.
    tag
        A tag of the new cluster: camera, zone=eu. May be given several times.
    ttl
        How long the token is good; 1h if not given.
    require_approval
        Whoever comes with it is only admitted when somebody accepts it here: ote accept.
    """
    request = {"path": path, "tags": tag or [], "ttl": ttl, "approval": require_approval, "actor": actor()}
    async with local_api(common) as api:
        answer = await api.ask("join_token", request)
    if not common.for_people:
        show_names([answer["token"]]) if common.output == "name" else show_data(answer, common.output)
        return
    show(answer["token"])
    note(f"good until {answer['expires']}, for {answer['path']}; at the new site: ote join TOKEN")


async def accept(path: str | None = None, /, *, wait: Wait = True, common: Common = COMMON) -> Exit:
    """Admits a cluster that has a token and waits to be accepted; without a path, lists who waits at the tier that is
    asked.

    For example:

        ote accept
        ote accept root.east.site9

    Parameters
    ----------
    path
        The cluster.
    wait
        Wait until its parent has taken the order, at most this long (60 s if no time is given); --no-wait only submits.
    """
    if path is not None:
        return await _tell_parent(path, "accept", wait, common)
    async with local_api(common) as api:
        rows = (await api.ask("applicants"))["applicants"]
    if common.output == "name":
        show_names(row["path"] for row in rows)
    elif not common.for_people:
        show_data({"applicants": rows}, common.output)
    elif rows:
        cells = [[row["path"], row["key"], since(row["since"], datetime.now(UTC))] for row in rows]
        show(table(["CLUSTER", "KEY", "SINCE"], cells))
    else:
        note("nobody waits")
    return Exit.OK


async def revoke(path: str, /, *, wait: Wait = True, common: Common = COMMON) -> Exit:
    """Lets a cluster, and all below it, in no more.

    Its link is cut at once, and what it sends later is believed by nobody. What it has said until then stays in all
    logs.

    It is a command to all tiers above the cluster, up to the one that is asked: also where its parent is down, those
    that took it in hear of it. Who was revoked comes back with new keys and a new token only.

    For example:

        ote revoke root.east.site9

    Parameters
    ----------
    path
        The cluster: root.east.site9.
    wait
        Wait until they have taken the order, at most this long (60 s if no time is given), but not for those that are
        offline; --no-wait only submits.
    """
    found = paths.parse_path(path)
    async with local_api(common) as api:
        asked = (await api.ask("status"))["path"]
    above = [f"path:{each}" for each in reversed(paths.ancestors(found)) if paths.is_under(each, asked)]
    if not above:
        raise BadRequest(f"{path} is not below {asked}", field="path", hint="ask its parent, or a tier above that")
    do: dict[str, Any] = {"shim": TIER_SHIM, "verb": "revoke", "args": {"path": path}}
    return await send(do, Sending(on=" or ".join(above)), wait_seconds(wait), common, for_offline=False)


async def rotate(*, sending: Sending, wait: Wait = True, common: Common = COMMON) -> Exit:
    """Renews the credentials of clusters: each asks its parent for new ones. By itself it does so before they end.

    For example:

        ote rotate --on root.east.site9
        ote rotate --on root.east.> --no-wait

    Parameters
    ----------
    wait
        Wait until they have taken the order, at most this long (60 s if no time is given); --no-wait only submits.
    """
    return await send({"shim": TIER_SHIM, "verb": "rotate"}, sending, wait_seconds(wait), common)


async def _tell_parent(path: str, verb: str, wait: bool | float, common: Common) -> Exit:
    parent = paths.parent(paths.parse_path(path))
    if parent is None:
        raise BadRequest(f"{path} is a root: nobody admits it", field="path")
    do: dict[str, Any] = {"shim": TIER_SHIM, "verb": verb, "args": {"path": path}}
    return await send(do, Sending(on=f"path:{parent}"), wait_seconds(wait), common)

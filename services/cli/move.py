"""`ote move` and `ote drain-tier`: planned changes of where clusters are attached."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from services.cli.exits import Exit
from services.cli.options import COMMON, Common, Wait, wait_seconds
from services.cli.sending import Sending, send
from services.tier.settings import TIER_SHIM


async def move(
    site: str,
    /,
    *,
    parent: Annotated[str, Parameter(metavar="PATH")],
    wait: Wait = True,
    common: Common = COMMON,
) -> Exit:
    """Attaches a cluster to another tier, and lets it belong there. Its path, tags and history stay as they are.

    It is a command as any other. The other tier must be one that the cluster knows (ote get links --tier SITE). To
    take it back, name its own parent.

    For example:

        ote move root.east.site1 --parent root.west
        ote move root.east.site1 --parent root.east

    Parameters
    ----------
    site
        The cluster: root.east.site1.
    parent
        The tier to which it shall be attached.
    wait
        Wait until it has taken the order, at most this long (60 s if no time is given); --no-wait only submits.
    """
    do = {"shim": TIER_SHIM, "verb": "move", "args": {"parent": parent}}
    return await send(do, Sending(on=site), wait_seconds(wait), common)


async def drain_tier(site: str, /, *, end: bool = False, wait: Wait = True, common: Common = COMMON) -> Exit:
    """Sends all who are attached to a tier away, before its maintenance; or, at the end, takes them back.

    Its children move to their alternates one by one, without losing a command, and stay there until the end, also
    while the tier is down. Who has no alternate stays. ote get links at the tier shows who is still there.

    For example:

        ote drain-tier root.east
        ote drain-tier root.east --end

    Parameters
    ----------
    site
        The tier: root.east.
    end
        The maintenance is over.
    wait
        Wait until it has taken the order, at most this long (60 s if no time is given); --no-wait only submits.
    """
    do = {"shim": TIER_SHIM, "verb": "drain", "args": {"on": not end}}
    return await send(do, Sending(on=site), wait_seconds(wait), common)

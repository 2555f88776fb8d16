"""`ote tag`: the tags of clusters, at run time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bus import tags
from bus.errors import BadRequest
from services.cli.exits import Exit
from services.cli.options import COMMON, Common, Wait, wait_seconds
from services.cli.sending import Sending, send
from services.tier.settings import TIER_SHIM


async def tag(tag: str, /, *more: str, sending: Sending, wait: Wait = True, common: Common = COMMON) -> Exit:
    """Changes the tags of clusters: zone=eu and camera are set, zone- is taken away.

    For example:

        ote tag --on site1 camera zone=eu
        ote tag --on like:cam night- --no-wait

    It is a command as any other: recorded, and done by a cluster that is away when it comes back. What is changed so
    outlives a restart of the cluster, and wins over the tags that it is started with.

    Parameters
    ----------
    tag
        A tag to set (camera, zone=eu), or a key with - behind it, to take its tag away.
    more
        More of them.
    wait
        Wait for the results, at most this long (60 s if no time is given); --no-wait only submits.
    """
    do = {"shim": TIER_SHIM, "verb": "tag", "args": changes((tag, *more))}
    return await send(do, sending, wait_seconds(wait), common)


def changes(words: Sequence[str]) -> dict[str, Any]:
    """`{"set", "unset"}` of the words. BadRequest names the one that is wrong."""
    unset = [word[:-1] for word in words if word.endswith("-")]
    given = tags.parse_tags([word for word in words if not word.endswith("-")], "tag")
    tags.to_texts(dict.fromkeys(unset, ""), "tag")
    if both := sorted(given.keys() & set(unset)):
        raise BadRequest(f"the tag {both[0]} is set and taken away", field="tag")
    return {"set": given, "unset": unset}

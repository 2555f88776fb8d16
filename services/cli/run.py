"""`ote run`: any verb of a shim."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from services.cli.arguments import parse_arguments
from services.cli.exits import Exit
from services.cli.options import COMMON, Common, Wait, wait_seconds
from services.cli.sending import Sending, send


async def run(
    verb: str,
    /,
    *args: str,
    sending: Sending,
    shim: Annotated[str | None, Parameter(metavar="KIND")] = None,
    wait: Wait = True,
    common: Common = COMMON,
) -> Exit:
    """Runs a verb of a shim on clusters and shows the results.

    For example:

        ote run --on site1 list kind=ConfigMap
        ote run --on tag:camera scale kind=Deployment name=web replicas:=3 --wait 5m
        ote run --on root.east.site1 --shim greet greet '{"name": "ann"}' --no-wait

    Parameters
    ----------
    verb
        What the shim is to do: get, list, scale ...
    args
        Its arguments: name=web replicas:=3, or one JSON object.
    shim
        The shim that is to do it; each cluster's default if not given.
    wait
        Wait for the results, at most this long (60 s if no time is given); --no-wait only submits.
    """
    do = {"verb": verb, "args": parse_arguments(args)} | ({"shim": shim} if shim else {})
    return await send(do, sending, wait_seconds(wait), common, full=True)

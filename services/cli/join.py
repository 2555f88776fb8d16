"""`ote join`: a token makes this machine a tier of the tree."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from bus.client import Bus
from bus.credential import Credential
from bus.event import format_time
from leafnodes.credentials.joining import Token
from leafnodes.credentials.store import Store
from leafnodes.credentials.tier import SERVICES, Credentials
from services.cli.init import FIRST, Output
from services.cli.local_api import LocalApi
from services.cli.printing import note, show, show_data, show_names
from services.cli.tier import tier
from services.tier import joining

#: How long a tier that runs has for it (seconds).
LONG = 60.0


def join(
    token: str,
    /,
    *,
    state: Path | None = None,
    start: Annotated[bool, Parameter(negative="--no-start")] = True,
    output: Output = "table",
) -> None:
    """Makes this machine a tier of the tree that gave the token.

    It makes its keys here, sends the public ones to the parent, gets its credentials, and runs the tier until that is
    stopped.

    A tier whose credential has expired comes back the same way, with a new token; if it runs, it goes on running.
    Settings beyond path, parent and tags are those of ote tier: from the environment (OTE_TIER_*), or give --no-start
    and start it with ote tier.

    For example:

        ote join ote1-TOKEN --state /var/lib/ote/site9
        ote join ote1-TOKEN --no-start

    Parameters
    ----------
    token
        The token, as ote join-token printed it at the parent.
    state
        The directory of the tier; ./PATH if not given.
    start
        Run the tier; so it is, unless --no-start is given.
    output
        Tables for people; json, yaml or name for programs.
    """
    invited = Token.parse(token)
    directory = state or Path(invited.path)
    if (running := _running(directory)) is not None:
        _show(asyncio.run(_rejoin(directory, running, token)), output)
        return
    told: list[str] = []

    def tell(word: str) -> None:
        if word not in told:
            told.append(word)
            note(word)

    credentials = asyncio.run(joining.join(invited, directory, tell))
    file = Store(directory).user_file(FIRST)
    creds = file if file.exists() else credentials.person(FIRST)
    end = credentials.expires
    expires = format_time(datetime.fromtimestamp(end, UTC)) if end is not None else None
    key = credentials.public.cluster
    _show({"path": invited.path, "state": str(directory), "key": key, "creds": str(creds), "expires": expires}, output)
    if output == "table":
        note(f"admitted; from now on: ote tier --path {invited.path} --state {directory}")
        note(f"to ask it: export OTE_CREDS={creds}")
    if start:
        tier(path=invited.path, state=directory)


def _running(directory: Path) -> dict[str, Any] | None:
    """How to reach the tier that runs on this directory; None if none does."""
    try:
        found: dict[str, Any] = json.loads((directory / "tier.json").read_text())
    except (OSError, ValueError):
        return None
    return found if Path(f"/proc/{found['pid']}").exists() and Credentials.load(directory) is not None else None


async def _rejoin(directory: Path, running: dict[str, Any], token: str) -> dict[str, Any]:
    credential = Credential.load(Store(directory).user_file(SERVICES))
    async with await Bus.connect(running["nats"], name="ote join", credential=credential) as bus:
        return await LocalApi(bus).ask("rejoin", {"token": token}, timeout=LONG)


def _show(made: dict[str, Any], output: str) -> None:
    if output == "name":
        show_names([made["path"]])
    elif output in ("table", "wide"):
        show("\n".join(f"{name:<8} {value}" for name, value in made.items() if value is not None))
    else:
        show_data(made, output)  # type: ignore[arg-type]  # what is left are the forms of data

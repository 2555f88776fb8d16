"""The credentials in the state directory of a tier: those by which it is let in above. Only reads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bus import paths
from bus.errors import OteError
from leafnodes.credentials import jwt
from leafnodes.credentials.store import Store
from leafnodes.credentials.tier import is_due
from leafnodes.files import LogFile
from services.cli.doctor.finding import Finding, error, warning

#: Of the server's log: bytes and lines that tell how things are now.
LOOKED_AT, LAST_LINES = 20_000, 12
#: What a server says whose login was good above, and what one says whose login was refused there: of a credential that
#: has ended, was revoked, or is another tree's.
LET_IN = "JetStream using domains"
REFUSED = ("Authorization Violation", "Authentication Expired", "Authentication Revoked", "Authentication Timeout")


def credentials(state: Path, now: float | None = None) -> Iterator[Finding]:
    """Whether what this tier shows to those above is still good; `now` is seconds since 1970."""
    store = Store(state)
    said = _last_refusal(state)
    if store.exists:
        try:
            kept = store.state()
            ends = {host: jwt.claims(link.credential) for host, link in kept.links.items()}
        except OteError as damaged:
            yield error(
                "credential", str(store.directory), damaged.message, damaged.hint or "join again (ote join TOKEN)"
            )
            return
        parent = paths.parent(paths.Path(kept.path))
        own = ends.get(parent or "")
        again = f"at {parent}: ote join-token --path {kept.path}; here: ote join TOKEN --state {state}"
        end, moment = (own or {}).get("exp"), time.time() if now is None else now
        if own is not None and end is not None and end < moment:
            what = f"the credential of {kept.path} for {parent} has expired at {_at(end)}: it is not let in any more"
            yield error("credential", kept.path, what, again)
            return
        if own is not None and end is not None and is_due(own, moment):
            what = f"the credential of {kept.path} for {parent} ends at {_at(end)}, and was not renewed"
            remedy = f"bring its link back before that: the tier renews it by itself. Afterwards, {again}"
            yield warning("credential", kept.path, what, remedy)
            return
        remedy = f"it was revoked, or {parent} is another one than it was: {again} (with another --state, if revoked)"
    else:
        remedy = "the password in --parent is not that of the parent: take the address that the parent prints now"
    if said is not None:
        yield error("credential", str(state / "nats.log"), f"the parent's server refuses the login: {said}", remedy)


def _last_refusal(state: Path) -> str | None:
    """If the server's own login was refused a moment ago, and was not good since: the word for it."""
    said = LogFile(state / "nats.log")
    lines = said.since(max(0, said.end() - LOOKED_AT)).rpartition(LET_IN)[2].splitlines()[-LAST_LINES:]
    told = [word for line in lines if "Leafnode" in line or "leafnode" in line for word in REFUSED if word in line]
    return told[-1] if told else None


def _at(end: float) -> str:
    return f"{datetime.fromtimestamp(end, UTC):%Y-%m-%dT%H:%M}Z"

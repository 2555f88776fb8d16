"""What a tier is told of the keys of its children, and of its own: verbs of the shim `tier`.

Each leaves its word in the log; who keeps the credentials follows that."""

from __future__ import annotations

from bus import subjects
from bus.event import Draft, Event
from bus.paths import is_under
from bus.types import ACCEPTED, APPLIED, REVOKED, ROTATED
from services.shims.base import Answer, Request
from store.api import Reader

#: So many of those who applied last are looked at.
RECENT = 1000


def accept(tx: Reader[Event], request: Request) -> tuple[Answer, list[Draft]]:
    """Admits who has a token and waits. `{"path": PATH}` -> `{"path", "key"}`."""
    path = request.args.get("path")
    found = tx.events(types=(APPLIED,), source=tx.source, latest=True, limit=RECENT)
    applied = next((each.event.data for each in reversed(found) if each.event.data.get("path") == path), None)
    if applied is None:
        return Answer.failed("not-found", f"{path!a} does not wait to be accepted by {tx.source}"), []
    said = {"path": path, "key": applied["key"]}
    return Answer.done(said), [Draft(ACCEPTED, subjects.event(ACCEPTED, tx.source), said, shared=False)]


def revoke(tx: Reader[Event], request: Request) -> tuple[Answer, list[Draft]]:
    """A cluster below, and all below that, is let in no more by the keys that it has. What it has said until now
    stays true. `{"path": PATH}` -> `{"path", "keys"}`."""
    path = request.args.get("path")
    if not isinstance(path, str) or path == tx.source or not is_under(path, tx.source):
        return Answer.failed("bad-request", f"{path!a} is not below {tx.source}"), []
    through = [[stream.epoch, seq] for stream, seq in tx.streams(path).items() if stream.source == path]
    rows = [row for row in tx.keys(path) if row.path == path]
    if not rows:
        return Answer.failed("not-found", f"{tx.source} knows no key of {path}"), []
    # Another tier above it may have said so of some already.
    data = [{"path": path, "key": row.key, "through": through} for row in rows if row.revoked is None]
    return Answer.done({"path": path, "keys": [row.key for row in rows]}), [
        Draft(REVOKED, subjects.event(REVOKED, tx.source), each) for each in data
    ]


def rotate(tx: Reader[Event], request: Request) -> tuple[Answer, list[Draft]]:
    """This cluster asks its parent for new credentials. `{}`."""
    said = {"path": tx.source}
    return Answer.done(said), [Draft(ROTATED, subjects.event(ROTATED, tx.source), said, shared=False)]

"""The shim that every tier is itself: what people tell a cluster about itself is a command like any other, so
that it is recorded, ordered, done once and reported, also at a cluster that is away when it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from bus import subjects, tags
from bus.errors import OteError
from bus.event import Draft, Event
from bus.shim_messages import DescribeAnswer, WatchAnswer
from bus.types import ANNOUNCED, PREFERRED
from services.shims import children
from services.shims.base import Answer, Request, Verb, description_of
from services.tier import places, tagging
from services.tier.settings import TIER_SHIM
from store.api import Reader


class TierShim:
    """The shim of kind `tier`. No tier announces it, for all have it."""

    kind: Final = TIER_SHIM
    verbs: Final[Mapping[str, Verb]] = {
        "tag": Verb(True, lambda args: frozenset({"tags"}), "{set?: {KEY: VALUE}, unset?: [KEY]}"),
        "drain": Verb(True, lambda args: frozenset({"tags"}), "{on: BOOLEAN}"),
        "move": Verb(True, lambda args: frozenset({"place"}), "{parent: PATH}"),
        "accept": Verb(True, lambda args: frozenset({"children"}), "{path: PATH}"),
        "revoke": Verb(True, lambda args: frozenset({"children"}), "{path: PATH}"),
        "rotate": Verb(True, lambda args: frozenset({"credentials"}), "{}"),
    }

    async def describe(self) -> DescribeAnswer:
        """Its verbs."""
        return description_of(self.kind, self.verbs)

    def begin_in(self, tx: Reader[Event]) -> list[Draft]:
        """Its tier announces itself."""
        return []

    def restore_in(self, tx: Reader[Event], told: Sequence[Mapping[str, Any]]) -> list[Draft]:
        """What it has said of itself, the log says."""
        return []

    def execute_in(self, tx: Reader[Event], request: Request) -> tuple[Answer, list[Draft]]:
        """What the verb asks for, as events of this cluster."""
        verbs = {
            "tag": self._tag,
            "drain": self._drain,
            "move": self._move,
            "accept": children.accept,
            "revoke": children.revoke,
            "rotate": children.rotate,
        }
        if request.verb not in verbs:
            return Answer.failed("unknown-verb", f"no verb {request.verb!r}: there are {', '.join(verbs)}"), []
        return verbs[request.verb](tx, request)

    def _move(self, tx: Reader[Event], request: Request) -> tuple[Answer, list[Draft]]:
        """This cluster belongs elsewhere from now on, its path stays. `{"parent": PATH}`."""
        parent = request.args.get("parent")
        known = places.known(tx)
        if parent not in known:
            said = f"{parent!a} is no tier to which {tx.source} could attach: {', '.join(known) or 'it knows of none'}"
            return Answer.failed("not-found", said), []
        data = {"path": tx.source, "parent": parent}
        return Answer.done({"parent": parent}), [Draft(PREFERRED, subjects.event(PREFERRED, tx.source), data)]

    def _drain(self, tx: Reader[Event], request: Request) -> tuple[Answer, list[Draft]]:
        """Sends away who is attached to this tier, or takes them back: it announces itself anew. `{"drained"}`."""
        on = request.args.get("on")
        last = tagging.announced(tx, tx.source)
        if not isinstance(on, bool) or last is None:
            return Answer.failed("bad-request", "on: true or false is expected"), []
        answer = Answer.done({"drained": on})
        if last.data.get("drained", False) is on:
            return answer, []
        return answer, [Draft(ANNOUNCED, subjects.event(ANNOUNCED, tx.source), {**last.data, "drained": on})]

    def _tag(self, tx: Reader[Event], request: Request) -> tuple[Answer, list[Draft]]:
        """Changes the tags of this cluster: it announces itself anew. `{"tags": [all that it has then]}`."""
        try:
            changes = tagging.changes(request.args)
        except OteError as error:
            return Answer.refused(error), []
        last = tagging.announced(tx, tx.source)
        if last is None:
            return Answer.failed("unavailable", "this cluster has not announced itself yet"), []
        before, known = last.data["tags"], tagging.retagged(last)
        after, retagged = tagging.changed(before, changes), {**known, **changes}
        answer = Answer.done({"tags": tags.to_texts(after)})
        if (after, retagged) == (before, known):
            return answer, []
        data = {**last.data, "tags": after, "retagged": retagged}
        return answer, [Draft(ANNOUNCED, subjects.event(ANNOUNCED, tx.source), data)]

    async def watch(self) -> AsyncIterator[WatchAnswer]:
        """It has no objects."""
        return
        yield

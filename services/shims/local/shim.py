"""The `local` shim: a small cluster that lives in the tier's own log.

It takes any Kubernetes manifest. Its objects are events of the log (local-only: they are no news to
other tiers), so that what a command did and what it answered commit together, and what the cluster then
does by itself: Deployments get pods, which run on simulated nodes as far as these have room. A Namespace
need not be there first, and deleting one deletes nothing in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from bus.errors import OteError
from bus.event import Draft, Event
from bus.shim_messages import DescribeAnswer, WatchAnswer
from bus.subjects import event as event_subject
from services.shims.base import Answer, Request, Verb, description_of
from services.shims.keys import objects_in
from services.shims.local.cluster import KINDS, NODES, furnish, parse_nodes, settle
from services.shims.local.manifests import Reference
from services.shims.local.rollouts import workload_in
from services.shims.local.verbs import VERBS
from services.shims.local.view import Change, View, of
from store.api import Log, Reader

APPLIED = "ote.object.applied.v1"
DELETED = "ote.object.deleted.v1"


class LocalShim:
    """The shim of kind `local`. `log` is only read, by `watch`: a command reads its transaction. `nodes` is
    what its nodes have, as `2*cpu=4,memory=8Gi`; BadRequest if that is wrong."""

    kind: Final = "local"
    verbs: Final[Mapping[str, Verb]] = {
        "apply": Verb(True, objects_in, "server-side apply: {manifest} or {manifests}, fieldManager?"),
        "delete": Verb(
            True, objects_in, "{manifest}, {manifests} or {apiVersion?, kind, name, namespace?}, ignoreNotFound?"
        ),
        "get": Verb(True, objects_in, "{apiVersion?, kind, name, namespace?}", read_only=True),
        "list": Verb(True, description="{apiVersion?, kind?, namespace?, labelSelector?, limit?}", read_only=True),
        "scale": Verb(True, workload_in, "{apiVersion?, kind?, name, namespace?, replicas}"),
        "rollout-status": Verb(True, workload_in, "{name, namespace?}", read_only=True),
        "rollout-history": Verb(True, workload_in, "{name, namespace?}", read_only=True),
        "rollout-restart": Verb(False, workload_in, "{name, namespace?}"),
        "rollout-undo": Verb(False, workload_in, "{name, namespace?, toRevision?}"),
        "rollout-pause": Verb(True, workload_in, "{name, namespace?}"),
        "rollout-resume": Verb(True, workload_in, "{name, namespace?}"),
    }

    def __init__(self, log: Log[Event], nodes: Sequence[str] = NODES) -> None:
        self._log = log
        self._nodes = parse_nodes(nodes)

    async def describe(self) -> DescribeAnswer:
        """Its verbs."""
        return description_of(self.kind, self.verbs)

    def begin_in(self, tx: Reader[Event]) -> list[Draft]:
        """What is to be done when the tier starts: the nodes are as the settings say, and the pods where they
        can be. Nothing, where that is so already."""
        view = View(tx)
        furnish(view, self._nodes)
        settle(view)
        return [_draft(tx.source, change) for change in view.changes]

    def restore_in(self, tx: Reader[Event], told: Sequence[Mapping[str, Any]]) -> list[Draft]:
        """Its objects as they were told to others, where the log that held them is lost. What was too large to be told
        is not among them."""
        last: dict[Reference, dict[str, Any] | None] = {}
        for report in (report for report in told if report.get("shim") == self.kind):
            if report.get("whole"):
                last = dict.fromkeys(last)
            for change in report.get("changes", ()):
                object = change["object"]
                if "truncated" not in object:
                    last[of(object)] = None if change.get("gone") else object
        view = View(tx)
        for reference, object in last.items():
            there = view.find(reference)
            if object is not None and object != there:
                view.put(object)
            elif object is None and there is not None:
                view.remove(there)
        furnish(view, self._nodes)
        settle(view)
        return [_draft(tx.source, change) for change in view.changes]

    def execute_in(self, tx: Reader[Event], request: Request) -> tuple[Answer, list[Draft]]:
        """Carries out one verb: the answer, and the events that are its effect. An answer that is not
        `ok` has none: of several manifests all are applied, or none is."""
        verb = VERBS.get(request.verb)
        if verb is None:
            return Answer.failed("unknown-verb", f"no verb {request.verb!r}: there are {', '.join(VERBS)}"), []
        view = View(tx)
        try:
            result = verb(view, request.args)
            if any(change.reference.kind in KINDS for change in view.changes):
                settle(view)
        except OteError as error:
            return Answer.refused(error), []
        except RecursionError:
            return Answer.failed("bad-request", "the arguments are nested too deep"), []
        return Answer.done(result), [_draft(tx.source, change) for change in view.changes]

    async def watch(self) -> AsyncIterator[WatchAnswer]:
        """All objects. What becomes of them the log tells whoever follows it."""
        for object in await self._log.read(lambda reader: reader.objects()):
            yield WatchAnswer(type="applied", object=object)


def _draft(source: str, change: Change) -> Draft:
    by = {} if change.asked else {"by": "cluster"}
    if change.now is not None:
        return Draft(APPLIED, event_subject(APPLIED, source), {"object": change.now, **by}, shared=False)
    api_version, kind, namespace, name = change.reference
    gone = {"apiVersion": api_version, "kind": kind, "namespace": namespace, "name": name}
    return Draft(DELETED, event_subject(DELETED, source), gone | by, shared=False)

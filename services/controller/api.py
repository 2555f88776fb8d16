"""The local API of a tier: `ote.local.<name>`, as a NATS service that `nats micro` can list."""

from __future__ import annotations

from typing import Any

from bus import messages as m
from bus import subjects
from bus.micro import Service
from services.controller.admission import Admission
from services.controller.commands import Commands
from services.controller.events import Events
from services.controller.keeper import Keeper
from services.controller.links.report import Report
from services.controller.objects import Objects
from services.controller.overview import Overview
from services.controller.queries import Queries
from services.controller.registry import Registry
from services.controller.undoing import Undo
from services.tier.runtime import Runtime
from services.tier.version import VERSION

#: Requests that may wait hold no work, only a place: many may wait at once.
WAITERS = 10_000


def local_api(
    runtime: Runtime,
    commands: Commands,
    registry: Registry,
    overview: Overview,
    events: Events,
    queries: Queries,
    objects: Objects,
    undo: Undo,
    report: Report,
) -> Service:
    """The service, ready to start."""

    async def resolve_selector(request: m.ResolveSelectorRequest) -> dict[str, Any]:
        targets = commands.addressees(request.select, request.shim, "select")
        page = [path for path in targets if path > (request.after or "")][: request.limit]
        out: dict[str, Any] = {"targets": page, "count": len(targets)}
        return {**out, "next": page[-1]} if page and page[-1] != targets[-1] else out

    async def status(request: m.StatusRequest) -> dict[str, Any]:
        return await overview.status()

    service = Service(
        runtime.bus,
        "ote",
        version=VERSION,
        description=f"the tier {runtime.path}: commands, clusters and events at and below it",
        metadata={"path": runtime.path, "instance": runtime.instance},
    )
    service.endpoint("submit", subjects.local("submit"), m.SubmitRequest, commands.submit, limit=WAITERS, fair=True)
    service.endpoint("command", subjects.local("command"), m.CommandRequest, commands.command, limit=WAITERS)
    service.endpoint("commands", subjects.local("commands"), m.CommandsRequest, commands.commands)
    service.endpoint("cancel", subjects.local("cancel"), m.CancelRequest, commands.cancel)
    service.endpoint("resolve", subjects.local("resolve"), m.ResolveRequest, commands.resolve)
    service.endpoint("retry", subjects.local("retry"), m.RetryRequest, commands.retry)
    service.endpoint("tag", subjects.local("tag"), m.TagRequest, commands.tag, limit=WAITERS, fair=True)
    service.endpoint("ask", subjects.local("ask"), m.AskRequest, queries.ask)
    service.endpoint("clusters", subjects.local("clusters"), m.ClustersRequest, overview.clusters)
    service.endpoint("resolve_selector", subjects.local("resolve_selector"), m.ResolveSelectorRequest, resolve_selector)
    service.endpoint("objects", subjects.local("objects"), m.ObjectsRequest, objects.objects)
    service.endpoint("why", subjects.local("why"), m.WhyRequest, objects.why)
    service.endpoint("undo", subjects.local("undo"), m.UndoRequest, undo.undo)
    service.endpoint("log", subjects.local("log"), m.LogRequest, events.read, limit=WAITERS)
    service.endpoint("status", subjects.local("status"), m.StatusRequest, status)
    service.endpoint("links", subjects.local("links"), m.LinksRequest, report.links)
    return service


def admission_api(service: Service, admission: Admission, keeper: Keeper) -> None:
    """What a tier with credentials answers besides."""
    service.endpoint("join_token", subjects.local("join_token"), m.JoinTokenRequest, admission.token)
    service.endpoint("applicants", subjects.local("applicants"), m.ApplicantsRequest, admission.applicants)
    service.endpoint("rejoin", subjects.local("rejoin"), m.RejoinRequest, keeper.rejoin)

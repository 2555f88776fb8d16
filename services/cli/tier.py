"""`ote tier`: runs one tier of the tree, with all its services in this process."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TextIO, cast

import structlog
from cyclopts import Parameter
from pydantic import ValidationError

from bus.errors import BadRequest
from services.cli.lossy import LossyStream
from services.cli.options import Size, Span
from services.controller.controller import Controller
from services.shims.host import Host
from services.shims.local.cluster import parse_nodes
from services.shims.shims import make_shims
from services.tier.run import Factory, run_tier
from services.tier.runtime import Runtime
from services.tier.settings import TierSettings


def tier(
    *,
    path: str,
    state: Path | None = None,
    log_url: str | None = None,
    parent: str | None = None,
    tag: Annotated[list[str] | None, Parameter(metavar="TAG", negative=())] = None,
    shim: Annotated[list[str] | None, Parameter(metavar="KIND", negative="--no-shims")] = None,
    node: Annotated[list[str] | None, Parameter(metavar="AMOUNTS", negative="--no-nodes")] = None,
    commands: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    service: Annotated[list[str] | None, Parameter(metavar="NAME", negative=())] = None,
    host: str | None = None,
    port: int | None = None,
    leaf_port: int | None = None,
    client_login: str | None = None,
    child_login: str | None = None,
    advertise: str | None = None,
    credential_life: Span | None = None,
    failover: Annotated[bool | None, Parameter(negative="--no-failover")] = None,
    fallback_after: Span | None = None,
    reach: Annotated[list[str] | None, Parameter(metavar="PATH=HOST:PORT", negative=())] = None,
    guests: int | None = None,
    relays: int | None = None,
    relay_port: int | None = None,
    tls: str | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    tls_ca: Path | None = None,
    tls_children_ca: Path | None = None,
    parent_ca: Path | None = None,
    nats_url: str | None = None,
    nats_binary: Path | None = None,
    synchronous: str | None = None,
    metrics: Annotated[bool | None, Parameter(negative="--no-metrics")] = None,
    metrics_host: str | None = None,
    metrics_port: int | None = None,
    retain_for: Span | None = None,
    retain_bytes: Size | None = None,
    retention_interval: Span | None = None,
    heartbeat: Span | None = None,
    missed_heartbeats: int | None = None,
    sync_interval: Span | None = None,
    log_level: str | None = None,
) -> None:
    """Runs one tier until it is stopped: its NATS server, its log, and its services.

    A tier without a parent is a root. What is not given here is read from the environment
    (OTE_TIER_STATE, OTE_TIER_PARENT, ...). When it is up, it prints how to reach it.

    For example:

        ote tier --path root --no-shims --port 4222 --leaf-port 7422
        ote tier --path root.east.site1 --parent nats-leaf://child:SECRET@east:7422 --tag camera --tag zone=eu
        ote tier --path root.east.site1 --state /var/lib/ote/site1 --shim local --shim greet

    Parameters
    ----------
    path
        The path of this cluster, from the root: root.east.site1.
    state
        The directory of its log and its server's files; ./PATH if not given.
    log_url
        A database for the log, instead of a file: postgresql://USER@HOST/DATABASE. With a password in it, better
        in the environment: OTE_TIER_LOG_URL.
    parent
        The leaf URL of its parent, as the parent prints it.
    tag
        A tag of this cluster: camera, zone=eu. May be given several times.
    shim
        A shim of this cluster, the first is the default; local if none is given. Any other kind is
        whoever answers on ote.local.shim.KIND.
    node
        A node of the local shim, and what it has: cpu=4,memory=8Gi,nvidia.com/gpu=1; with 3* before it, three of
        them. May be given several times; two of cpu=4,memory=8Gi if none is given.
    commands
        The file of the programs that the shim command may run; docs/shims.md shows one.
    service
        controller or shims: only this in this process. May be given several times; both by default. Without
        the controller it joins the tier that runs on the state directory.
    host
        The address on which its server listens.
    port
        The port for clients; a free one if not given, and the same after a restart.
    leaf_port
        The port for children; a free one if not given, and the same after a restart.
    client_login
        USER:PASSWORD of clients; needed where --host can be reached from outside this machine. Better in
        OTE_TIER_CLIENT_LOGIN: others on this machine see options.
    child_login
        USER:PASSWORD of children; one is made, and kept, if not given.
    advertise
        The host under which children, and those who have lost their parent, reach this tier; --host if not given.
    credential_life
        How long the credentials are good that it gives its children; 90d if not given. They renew them in time.
    failover
        Attach elsewhere when the parent is lost; so it does, unless --no-failover is given. All tiers of a tree that
        shall help each other take the same --child-login.
    fallback_after
        How long its own parent must have been healthy before it goes back.
    reach
        Where this site reaches the tier PATH, if not at the address that it announces. May be given several times.
    guests
        How many clusters that have lost their own parent this tier takes in.
    relays
        How many links of siblings that have lost their own way to the parent it passes on there, byte for byte; 0
        for none, 32 if not given.
    relay_port
        The port for these; a free one if not given, and the same after a restart if it can be.
    tls
        Whether its ports speak TLS: on, off, or auto: where it has credentials and --host is not loopback.
    tls_cert
        The certificate of its server (PEM); if not given it makes its own, and renews it.
    tls_key
        The key of that certificate.
    tls_ca
        The authority of that certificate; its address then ends with it.
    tls_children_ca
        The authorities (PEM) of which children must show a certificate; they need not if not given.
    parent_ca
        The authorities (PEM) of the servers to which it attaches, beside those that stand in their addresses.
    nats_url
        A NATS server that runs already, instead of one of its own.
    nats_binary
        The nats-server to run.
    synchronous
        FULL (default), or NORMAL: faster, and what was acknowledged may be lost when power fails.
    metrics
        Serve /metrics over HTTP, for Prometheus; so it is, unless --no-metrics is given.
    metrics_host
        The address on which they are served, without a login; 127.0.0.1 if not given.
    metrics_port
        Their port; a free one if not given, and the same after a restart if it can be.
    retain_for
        Events that came longer ago (30d) leave the log, if nobody needs them; all stay if not given.
    retain_bytes
        The oldest events leave the log while it holds more (2GB), if nobody needs them.
    retention_interval
        The time between two looks for what can leave the log.
    heartbeat
        The time between heartbeats.
    missed_heartbeats
        How many of them a child may miss before it is offline.
    sync_interval
        The time between the asks of an idle tier to its parent.
    log_level
        debug, info, warning or error.
    """
    given: dict[str, Any] = {
        "path": path,
        "state": state or (None if "OTE_TIER_STATE" in os.environ else Path(path)),
        "log_url": log_url,
        "parent": parent,
        "tags": tag,
        "shims": shim,
        "nodes": node,
        "commands": commands,
        "services": service,
        "host": host,
        "port": port,
        "leaf_port": leaf_port,
        "client_login": client_login,
        "child_login": child_login,
        "advertise": advertise,
        "credential_life": credential_life,
        "failover": failover,
        "fallback_after": fallback_after,
        "reach": reach,
        "guests": guests,
        "relays": relays,
        "relay_port": relay_port,
        "tls": tls,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "tls_ca": tls_ca,
        "tls_children_ca": tls_children_ca,
        "parent_ca": parent_ca,
        "nats_url": nats_url,
        "nats_binary": nats_binary,
        "synchronous": synchronous,
        "metrics": metrics,
        "metrics_host": metrics_host,
        "metrics_port": metrics_port,
        "retain_for": retain_for,
        "retain_bytes": retain_bytes,
        "retention_interval": retention_interval,
        "heartbeat": heartbeat,
        "missed_heartbeats": missed_heartbeats,
        "sync_interval": sync_interval,
        "log_level": log_level,
    }
    settings = _settings({name: value for name, value in given.items() if value is not None})
    _log_to_stderr(settings.log_level)
    # The host listens for mail before the controller takes any in.
    factories: dict[str, Factory] = {"shims": _host, "controller": Controller}
    chosen = [factory for name, factory in factories.items() if name in settings.services]
    _run(run_tier(settings, chosen, _say_ready))


def _run(main: Coroutine[Any, Any, None]) -> None:
    """On uvloop where it is installed: a fifth less latency. Threads hand over quickly, and what lives long
    is not looked through for garbage again and again: both halve the work of a busy log."""
    sys.setswitchinterval(0.0005)
    gc.set_threshold(100_000, 50, 100)
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


def _settings(given: Mapping[str, Any]) -> TierSettings:
    try:
        settings = TierSettings(**given)
        parse_nodes(settings.nodes)
    except ValidationError as error:
        first = error.errors()[0]
        # A list's field is named in the plural, its option is not.
        option = str(first["loc"][0]).replace("_", "-").removesuffix("s" if len(first["loc"]) > 1 else "")
        says = first["msg"].removeprefix("Value error, ").replace("Input should be", "it should be")
        raise BadRequest(f"{first['input']!r}: {says}", field=f"--{option}", hint="see: ote tier --help") from None
    return settings


def _host(runtime: Runtime) -> Host:
    return Host(runtime, make_shims(runtime, runtime.settings.shims))


def _say_ready(info: Mapping[str, Any]) -> None:
    out = LossyStream(sys.stdout)
    out.write(f"{info['path']} is up: {info['nats']} (log {info['log']})\n")
    if info["leaf"] is not None:
        out.write(f"children join with: ote tier --path {info['path']}.NAME --parent {info['leaf']}\n")
    if info["metrics"] is not None:
        out.write(f"metrics for Prometheus: {info['metrics']}\n")


def _log_to_stderr(level: str) -> None:
    structlog.configure(
        processors=_processors(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, LossyStream(sys.stderr))),
        cache_logger_on_first_use=True,
    )


def _processors() -> Sequence[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.LogfmtRenderer(key_order=("timestamp", "level", "event")),
    ]

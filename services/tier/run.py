"""The composition root of a tier: opens log, server and bus in order, runs the services, closes in reverse.

The services are given as factories, so that this module knows none of them: `ote tier` runs them all in
one process, and each can run alone beside a tier that is up.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from bus import subjects
from bus.client import Bus
from bus.credential import Credential
from bus.errors import BadRequest, Refused, Unavailable
from bus.event import Event
from leafnodes.auth import Login
from leafnodes.certificates import Certificates
from leafnodes.config import is_loopback
from leafnodes.credentials.tier import Credentials
from leafnodes.files import write_private
from leafnodes.server import WILDCARDS, NatsServer
from leafnodes.tls import Tls, speaks_tls
from services.tier import marker, places
from services.tier.exposition import exposed
from services.tier.places import Route
from services.tier.relaying import relaying
from services.tier.retention import retain, retention
from services.tier.runtime import Runtime, Service, Signal
from services.tier.settings import TierSettings
from services.tier.trust import Trust, trust_in
from store.sql import is_remote, open_log

logger = structlog.get_logger()

#: How long a cluster without a log waits for the word of an ancestor before it executes (seconds).
NEW_WAITS = 3.0

Factory = Callable[[Runtime], Service]
#: Told when the tier is ready, with what `tier.json` holds.
Ready = Callable[[dict[str, Any]], None]


async def run_tier(
    settings: TierSettings,
    factories: Sequence[Factory],
    on_ready: Ready = lambda _: None,
    trust: Trust | None = None,
) -> None:
    """Runs a tier until SIGINT or SIGTERM, or until a service fails.

    Raises:
        OteError: it can not start (a port, a directory, a damaged log): the message says what to do.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with tier(settings, factories, trust) as info:
        on_ready(info)
        await stopping.wait()


@asynccontextmanager
async def tier(
    settings: TierSettings, factories: Sequence[Factory], trust: Trust | None = None
) -> AsyncIterator[dict[str, Any]]:
    """A tier that is up; yields `{"path", "pid", "nats", "leaf", "server_pid", "log", "metrics", "instance"}`,
    which is also kept in `tier.json` while it runs. Without `trust` it believes what the credentials in its directory
    say."""
    _prepare(settings.state)
    credentials = Credentials.load(settings.state)
    settings = _with(settings, credentials)
    async with AsyncExitStack() as stack:
        if settings.joins:
            running = _running(settings.state)
            _same_log(settings, running["log"])
            settings = settings.model_copy(update={"nats_url": running["nats"]})
        else:
            stack.enter_context(_sole_user(settings.state))
        trust = trust or trust_in(settings.state)
        log = await stack.enter_async_context(
            open_log(
                settings.log_url or settings.state / "log.db",
                source=settings.path,
                decode=Event.decode,
                # Who joins a tier that is up keeps to what that has chosen.
                synchronous=None if settings.joins else settings.synchronous,
                sole=not settings.joins,
                sign=trust.signer if trust is not None else None,
            )
        )
        connection: Signal[bool] = Signal()
        begin = await log.read(lambda reader: places.begin(settings, reader, _admits(credentials)))
        server = await stack.enter_async_context(_server(settings, credentials, begin))
        relay = await stack.enter_async_context(relaying(settings))
        connecting = Bus.connect(
            server.client_url,
            name=f"ote {settings.path}",
            inbox=subjects.inbox(settings.path),
            credential=Credential.load(credentials.services_file()) if credentials is not None else None,
            on_state=connection.emit,
        )
        bus = await stack.enter_async_context(await connecting)
        runtime = Runtime(settings, log, bus, connection, server, credentials, trust, begin, relay)
        back = await _look_back(runtime)
        stack.push_async_callback(runtime.close)
        services = [factory(runtime) for factory in factories]
        for service in services:
            await service.start()
            stack.push_async_callback(service.stop)
        if not settings.joins:
            await stack.enter_async_context(exposed(runtime.metrics, settings))
        info = _info(runtime, server, log.where)
        with nullcontext() if settings.joins else _announced(settings.state / "tier.json", info):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(service.run(), name=service.name) for service in services]
                tasks.append(group.create_task(server.watch(), name="watch server"))
                tasks.append(group.create_task(server.keep_certificates(), name="keep certificates"))
                if not settings.joins:
                    keeping = marker.keep(log, settings.state, back, runtime.history)
                    tasks.append(group.create_task(keeping, name="marker"))
                if (keep := retention(settings)) is not None:
                    tasks.append(group.create_task(retain(log, keep, settings.retention_interval), name="retention"))
                logger.info("tier is ready", path=runtime.path, nats=server.client_url, instance=runtime.instance)
                try:
                    yield info
                finally:
                    for task in tasks:
                        task.cancel()


async def _look_back(runtime: Runtime) -> asyncio.Event:
    """Is this the log that was here before? Who has lost his, or has none, waits for what others have of it. The event
    is set when a log that was lost is back."""
    settings = runtime.settings
    known = marker.read(settings.state, settings.path)
    if settings.joins:
        if known.executes:
            runtime.history.set()
        else:
            runtime.spawn(marker.joined(settings.state, settings.path, runtime.history), "wait for the tier's log")
        return runtime.history
    missed, is_empty = await runtime.log.read(lambda reader: (known.is_missed(reader), not reader.last_row()))
    if missed:
        runtime.lost = known.mark
        logger.warning("the log is not what it was: restored, cut short or gone", lost=known.mark)
    is_new = is_empty and runtime.depth > 0 and not (missed or known.waits)
    if missed or known.waits or is_new:
        # Those who join may not execute either, from before they can.
        said = replace(known, waits=not is_new, executes=False)
        await asyncio.to_thread(marker.write, settings.state, settings.path, said)
    if missed or known.waits:
        return runtime.history
    if is_new:
        # A new cluster, it seems: who can not reach its parent begins alone.
        asyncio.get_running_loop().call_later(NEW_WAITS, runtime.history.set)
    else:
        runtime.history.set()
    back = asyncio.Event()
    back.set()
    return back


def _prepare(state: Path) -> None:
    """The state directory is there, and can be written to."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        (state / "tier.lock").touch()
    except OSError as error:
        raise BadRequest(
            f"{state} can not be the tier's directory: {error.strerror}",
            field="--state",
            hint="give a directory that may be written to: --state DIR",
        ) from None


def _with(settings: TierSettings, credentials: Credentials | None) -> TierSettings:
    """What a tier that was admitted knows of itself need not be said again."""
    if credentials is None:
        return settings
    known = credentials.state
    if settings.path != known.path:
        raise Refused(
            f"the credentials in {settings.state} are those of {known.path}",
            field="--path",
            hint=f"give --path {known.path}, or another --state",
        )
    if settings.nats_url is not None:
        raise Refused("credentials need a server of the tier's own", field="--nats-url", hint="leave it out")
    return settings.model_copy(update={"parent": settings.parent or known.parent, "tags": settings.tags or known.tags})


def _admits(credentials: Credentials | None) -> Callable[[str], bool]:
    """Whether this tier has what it needs to be let in there: by a password any tier lets it in."""
    return lambda host: credentials is None or credentials.link_file(host) is not None


def _server(settings: TierSettings, credentials: Credentials | None, begin: Route | None) -> NatsServer:
    """The tier's server, which dials whom it dialled last."""
    dial = places.dialled(settings, begin) if begin is not None else None
    return NatsServer(
        state_dir=settings.state,
        path=settings.path,
        parent=dial.url if dial is not None else settings.parent,
        level=dial.level if dial is not None else None,
        at=dial.at if dial is not None else None,
        host=settings.host,
        port=settings.port,
        leaf_port=settings.leaf_port,
        advertise=settings.advertise,
        clients=_login(settings.client_login),
        children=_login(settings.child_login),
        binary=settings.nats_binary,
        external_url=settings.nats_url,
        credentials=credentials if settings.nats_url is None else None,
        tls=_tls(settings, has_credentials=credentials is not None) if settings.nats_url is None else None,
    )


def _tls(settings: TierSettings, *, has_credentials: bool) -> Tls | None:
    """None where neither its ports nor its link speak TLS."""
    is_open = has_credentials and not is_loopback(settings.host)
    serves = settings.tls == "on" or (settings.tls == "auto" and (is_open or settings.tls_cert is not None))
    dials = settings.parent_ca is not None or speaks_tls(settings.parent or "")
    if not (serves or dials):
        return None
    directory = settings.state.resolve() / "tls"
    hosts = [host for host in (settings.host, settings.advertise) if host and host not in WILDCARDS]
    given = settings.tls_cert is not None
    return Tls(
        directory,
        serves=serves,
        made=None if given else Certificates(directory, settings.path, hosts),
        certificate=settings.tls_cert,
        key=settings.tls_key,
        authority=settings.tls_ca,
        children=settings.tls_children_ca,
        parents=settings.parent_ca,
    )


def _login(text: str | None) -> Login | None:
    user, _, password = (text or "").partition(":")
    return Login(user, password) if text else None


def _info(runtime: Runtime, server: NatsServer, log: str) -> dict[str, Any]:
    return {
        "path": runtime.path,
        "pid": os.getpid(),
        "instance": runtime.instance,
        "nats": server.client_url,
        "leaf": server.leaf_url,
        "server_pid": server.pid,
        "log": log,
        "metrics": runtime.metrics.url,
    }


def _running(state: Path) -> dict[str, Any]:
    """The tier that runs on this directory."""
    try:
        found: dict[str, Any] = json.loads((state / "tier.json").read_text())
    except (OSError, ValueError):
        raise Unavailable(
            f"no tier runs on {state}", hint="start one there first: ote tier --service controller ..."
        ) from None
    return found


def _same_log(settings: TierSettings, log: str) -> None:
    """Two logs would be two minds."""
    if is_remote(log) != (settings.log_url is not None):
        raise Refused(
            f"the tier that runs on {settings.state} has its log in {log}",
            field="log_url",
            hint="give the same --log-url",
        )


@contextmanager
def _sole_user(state: Path) -> Iterator[None]:
    """Two tiers on one state directory would be one cluster twice."""
    with (state / "tier.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused(
                f"another tier runs on {state}", field="state", hint="stop it, or choose another directory"
            ) from None
        yield


@contextmanager
def _announced(file: Path, info: dict[str, Any]) -> Iterator[None]:
    """Says in a file how to reach the tier, while it is up; whole or not at all."""
    # Its addresses hold the logins of clients and children.
    write_private(file, json.dumps(info, indent=2) + "\n")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)

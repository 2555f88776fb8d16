"""One tier's nats-server: started, adopted, watched, moved to another parent, and stopped.

A tier that is killed leaves its server running, so that routing goes on below it. The next start on
the same state directory adopts that server if it is the same and answers; else it is ended, and a
new one started on the same ports.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import structlog

from bus import paths
from bus.errors import BadRequest, OteError, Unavailable
from leafnodes.auth import LinkAuth, Login, PasswordAuth, netloc
from leafnodes.config import LOOPBACK, ServerConfig, Tuning, is_loopback, parent_urls
from leafnodes.credentials.auth import OperatorAuth
from leafnodes.credentials.tier import Credentials
from leafnodes.identity import CHILD_USER, Identity, settle
from leafnodes.monitor import LeafLink, Monitor, ServerInfo
from leafnodes.ports import is_free
from leafnodes.process import Process
from leafnodes.runner import GRACE, PortTaken, Runner
from leafnodes.tls import Tls

ATTEMPTS = 5
SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 5.0
STABLE = 10.0
#: What a server says that is still about to end the link that it had there; how long that may take, and between two
#: attempts (seconds).
AGAIN, BUSY, PAUSE = "try again", 5.0, 0.05
WILDCARDS = {"0.0.0.0": LOOPBACK, "::": "::1"}
DEFAULTS = Tuning()

log = structlog.get_logger(__name__)


class NatsServer:
    """The server of the cluster `path`, with all it keeps in `state_dir`.

    Ports that are 0 are chosen once and remembered. `parent` is one leaf url or several, tried in
    order, `level` and `at` as in `attach`. Clients need no login on a loopback `host`, and the login `clients`
    elsewhere; children use the login `children`, or a password that is made once. With `credentials` everybody has
    one of their own, and no login counts. `tls` says which ports and links speak it. `advertise` is the host in
    `leaf_url`. `start_timeout` is in seconds. With `external_url` nothing is started: that server is the care of
    somebody else."""

    def __init__(
        self,
        *,
        state_dir: Path,
        path: str,
        parent: str | Sequence[str] | None = None,
        level: int | None = None,
        at: str | None = None,
        host: str = LOOPBACK,
        port: int = 0,
        leaf_port: int = 0,
        monitor_port: int = 0,
        advertise: str | None = None,
        clients: Login | None = None,
        children: Login | None = None,
        tuning: Tuning = DEFAULTS,
        binary: str | Path | None = None,
        external_url: str | None = None,
        start_timeout: float = 15.0,
        credentials: Credentials | None = None,
        tls: Tls | None = None,
    ) -> None:
        if external_url is None and clients is None and credentials is None and not is_loopback(host):
            raise BadRequest(
                f"clients that reach {host} from outside need a login",
                field="clients",
                hint=f"give one (ote tier --client-login USER:PASSWORD), or listen on {LOOPBACK}",
            )
        self.path = paths.parse_path(path)
        self.state_dir = state_dir.resolve()
        self._parents = parent_urls(parent)
        self._level = level
        self._at = at
        self._credentials = credentials
        self._tls = tls
        self._host = host
        self._ports = (port, leaf_port, monitor_port)
        self._advertise = advertise or WILDCARDS.get(host, host)
        self._clients = clients
        self._children = children
        self._tuning = tuning
        self._external_url = external_url
        self._runner = Runner(self.state_dir / "nats.conf", binary, start_timeout)
        self._identity_file = self.state_dir / "nats.json"
        self._identity: Identity | None = None
        self._process: Process | None = None
        self._lock = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The server's process, None while none runs that is ours."""
        return self._process.pid if self._process else None

    @property
    def log_file(self) -> Path:
        """The server's log."""
        return self.state_dir / "nats.log"

    @property
    def server_name(self) -> str:
        """The name under which other servers know this one."""
        return self._known().server_name

    @property
    def client_url(self) -> str:
        """Where the tier's own services connect, with their login if they need one."""
        if self._external_url is not None:
            return self._external_url
        host, port = WILDCARDS.get(self._host, self._host), self._known().client_port
        login = None if self._credentials else self._clients
        scheme, word = ("tls", self._tls.word) if self._tls and self._tls.serves else ("nats", "")
        return (login.url(scheme, host, port) if login else f"{scheme}://{netloc(host, port)}") + word

    @property
    def leaf_url(self) -> str | None:
        """What children dial, with their login, if it is a password; None for an external server."""
        if self._external_url is not None:
            return None
        scheme, word = ("tls", self._tls.word) if self._tls and self._tls.serves else ("nats-leaf", "")
        if self._credentials is not None:
            return f"{scheme}://{self.leaf_address}{word}"
        return self._children_login().url(scheme, self._advertise, self._known().leaf_port) + word

    async def varz(self) -> ServerInfo:
        """The server at this moment. Unavailable where it does not answer."""
        return await Monitor(self._known().monitor_port).varz()

    async def leafz(self) -> list[LeafLink]:
        """The leaf links that are up. Unavailable where the server does not answer."""
        return await Monitor(self._known().monitor_port).leafz()

    async def start(self) -> None:
        """Returns when the server accepts clients and children. Unavailable if it does not in time,
        with the last lines of its log; NotFound without a program to run."""
        if self._external_url is not None:
            return
        self.state_dir.mkdir(parents=True, exist_ok=True)
        if self._tls is not None:
            await asyncio.to_thread(self._tls.settle)
        async with self._lock:
            if self._process is None or not self._process.alive():
                self._process = await self._adopt() or await self._start_new()

    async def stop(self) -> None:
        """Ends the server, also one that was adopted. Safe to repeat."""
        async with self._lock:
            process, self._process = self._process, None
            if process is not None:
                await process.end(GRACE)
                self._config().pid_file.unlink(missing_ok=True)

    async def watch(self) -> None:
        """Runs until cancelled, or until `stop`, and starts the server again whenever it dies: soon,
        and after growing pauses while it does not stay up."""
        if self._external_url is not None:
            await asyncio.Event().wait()
        clock = asyncio.get_running_loop().time
        pause = 0.0
        while (process := self._process) is not None:
            since = clock()
            await process.gone()
            pause = 0.0 if clock() - since > STABLE else min(max(2 * pause, SHORTEST_PAUSE), LONGEST_PAUSE)
            await asyncio.sleep(pause)
            await self._revive(process)

    @property
    def is_ours(self) -> bool:
        """Whether this server can be moved and started again."""
        return self._external_url is None

    @property
    def leaf_address(self) -> str:
        """`leaf_url` without its login and scheme: host:port; "" for an external server."""
        return netloc(self._advertise, self._known().leaf_port) if self.is_ours else ""

    @property
    def announced(self) -> str:
        """The same, as others are told of it: behind a # by which authority it is known, if it has one."""
        return self.leaf_address + (self._tls.word if self._tls is not None and self._tls.serves else "")

    async def restart(self) -> None:
        """Ends the process; `watch` starts it again on the same ports."""
        if self._process is not None:
            await self._process.end(GRACE)

    async def attach(
        self, parent: str | Sequence[str] | None, *, level: int | None = None, at: str | None = None
    ) -> None:
        """Moves this server to another parent (or to none) without touching any other link. Where it is not this
        tier's own, `at` is its path, and `level` one more than its depth.

        Returns when the server has the order; its link follows within milliseconds where the parent
        answers. Unavailable if the server refused: it stays where it was. While the server is down,
        the order waits for its next start."""
        if self._external_url is not None:
            raise BadRequest("the links of an external server are not ours to move", field="parent")
        async with self._lock:
            before = self._parents, self._level, self._at
            self._parents, self._level, self._at = parent_urls(parent), level, at
            try:
                await self._reload()
            except OteError:
                self._parents, self._level, self._at = before
                raise

    async def keep_certificates(self) -> None:
        """Runs until cancelled: renews the certificates when that is due, without ending a link."""
        if self._tls is not None and self.is_ours:
            await self._tls.keep(self.refresh)

    def carried_by(self, hosts: Iterable[str]) -> None:
        """Children also reach this server through others at these hosts: its certificate is good for them within
        seconds, where it is one that the tier makes itself."""
        if self._tls is not None and self._tls.made is not None:
            self._tls.made.also(hosts)

    async def refresh(self) -> None:
        """The credentials have changed: the server reads them. Links whose own has not changed stay; who is revoked is
        cut off. Unavailable if the server refused."""
        async with self._lock:
            await self._reload()

    async def relink(self) -> None:
        """Makes the link to the parent anew: the server forgets what it holds against it. Unavailable if the server
        refused: it has the link again when it is started again."""
        async with self._lock:
            config = self._config()
            await self._reload(replace(config, parents=()))
            await self._reload(config)

    async def _reload(self, config: ServerConfig | None = None) -> None:
        config, end = config or self._config(), time.monotonic() + BUSY
        while self._process is not None and self._process.alive():
            try:
                return await self._runner.reload(self._process, config)
            except Unavailable as error:
                if AGAIN in error.message and time.monotonic() < end:
                    await asyncio.sleep(PAUSE)
                # One that has just died reads it when it is started again.
                elif self._process.alive():
                    raise

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def _adopt(self) -> Process | None:
        known = Identity.load(self._identity_file)
        if known is None:
            return None
        self._identity = self._settle(known)
        process = await self._runner.adopt(self._config())
        if process is not None:
            self._identity.save(self._identity_file)
            log.info("adopted a running nats-server", path=self.path, pid=process.pid)
        return process

    async def _start_new(self) -> Process:
        known = self._identity
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._launch(known)
            except PortTaken:
                # A port that was free a moment ago is gone: only one that nobody else knows may change.
                if known is None:
                    continue
                if self._ports[2] or is_free(LOOPBACK, known.monitor_port):
                    raise
                known = known.model_copy(update={"monitor_port": 0})
        return await self._launch(known)

    async def _launch(self, known: Identity | None) -> Process:
        self._identity = self._settle(known)
        self._identity.save(self._identity_file)
        return await self._runner.launch(self._config())

    async def _revive(self, died: Process) -> None:
        async with self._lock:
            if self._process is not died:
                return
            try:
                self._process = await self._start_new()
            except OteError as error:
                log.error("nats-server died and does not start", path=self.path, reason=error.message)
            else:
                log.warning("nats-server died and was started again", path=self.path, pid=self.pid)

    def _settle(self, known: Identity | None) -> Identity:
        client, leaf, monitor = self._ports
        return settle(known, self.path, self._host, client=client, leaf=leaf, monitor=monitor)

    def _known(self) -> Identity:
        if self._external_url is not None:
            raise Unavailable("an external server is known by its client url alone")
        if self._identity is None:
            raise Unavailable("the server has not been started")
        return self._identity

    def _children_login(self) -> Login:
        return self._children or Login(CHILD_USER, self._known().children_password)

    def _auth(self) -> LinkAuth:
        if self._credentials is not None:
            return OperatorAuth(self._credentials)
        return PasswordAuth(children=self._children_login(), clients=self._clients)

    def _config(self) -> ServerConfig:
        identity = self._known()
        return ServerConfig(
            path=self.path,
            server_name=identity.server_name,
            host=self._host,
            client_port=identity.client_port,
            leaf_port=identity.leaf_port,
            monitor_port=identity.monitor_port,
            parents=self._parents,
            level=self._level,
            at=self._at,
            auth=self._auth(),
            pid_file=self.state_dir / "nats.pid",
            log_file=self.log_file,
            tuning=self._tuning,
            tls=self._tls,
        )

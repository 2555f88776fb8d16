"""This machine, and the state directory of a tier on it: what can be seen without asking anybody. Blocks."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bus.errors import OteError
from bus.event import Event
from leafnodes.binary import find_binary
from leafnodes.certificates import is_due, read
from leafnodes.files import LogFile
from leafnodes.identity import Identity
from leafnodes.process import Process
from services.cli.doctor.credentials import credentials
from services.cli.doctor.finding import Finding, error, note, warning
from services.cli.render import count_of, size
from services.cli.store import LOG_FILE
from services.cli.vouching import voucher
from store.errors import StoreError
from store.lock import is_locked
from store.sql import is_remote, shown
from store.verify import verify
from store.whose import size_of

#: Bytes up to which a log is verified without being asked.
QUICK = 64_000_000
#: Of the server's log: bytes and lines that tell how things are now.
LOOKED_AT, LAST_LINES = 20_000, 12
RENEWING = "ote tls renew --state"
#: Seconds for which a healthy log is never locked.
PATIENCE = 2.0


def program(needed: bool) -> Iterator[Finding]:
    """The nats-server that a tier on this machine would start."""
    try:
        find_binary(os.environ.get("OTE_TIER_NATS_BINARY"))
    except OteError as missing:
        kind = error if needed else note
        yield kind(
            "nats-server", "this machine", missing.message, f"{missing.hint}; only a tier on this machine needs it"
        )


def directory(state: Path, whole: bool, *, log_is_elsewhere: bool) -> Iterator[Finding]:
    """The state directory of a tier; `whole`: verify its log, however large it is."""
    if not state.is_dir():
        yield error("state", str(state), f"there is no directory {state}", "give the --state of the tier")
        return
    running = tier_pid(state) is not None
    if not running:
        left = (state / "tier.json").exists()
        how = "its tier did not end in order (killed, or the power failed)" if left else "no tier runs on it"
        start = f"start it: ote tier --path PATH --state {state}; what was acknowledged is in its log"
        yield (warning if left else note)("state", str(state), f"{state}: {how}", start)
    yield from ports(state)
    yield from certificates(state)
    yield from credentials(state)
    log = state / LOG_FILE
    if log_is_elsewhere:
        return
    if not log.is_file():
        remedy = "nothing, if the tier never ran; --log URL, if its log is in a database; else see the disk"
        yield note("log", str(log), f"there is no log at {log}", remedy)
        return
    yield from the_log(log, whole)


def ports(state: Path) -> Iterator[Finding]:
    """Whether the ports that the tier's server remembers are free, or its own."""
    file = state / "nats.json"
    try:
        identity = Identity.load(file)
    except OteError as damaged:
        yield error("state", str(file), damaged.message, str(damaged.hint))
        return
    if identity is None or Process.find(state / "nats.pid", state / "nats.conf") is not None:
        return
    for option, port in (("--port", identity.client_port), ("--leaf-port", identity.leaf_port)):
        if _is_taken(port):
            what = f"port {port}, which the tier on {state} will ask for, is taken by another program"
            remedy = (
                f"see whose it is (ss -ltnp 'sport = :{port}') and stop it, or start the tier with another {option}"
            )
            yield error("port", str(port), what, remedy)


def certificates(state: Path) -> Iterator[Finding]:
    """Whether the server's own certificate is good, and whether the servers that it dials are believed."""
    file = state / "tls" / "server.pem"
    try:
        own = read(file, missing=True)[:1]
    except OteError as damaged:
        yield error("tls", str(file), damaged.message, f"remove it: the tier makes another; {RENEWING} {state}")
        own = []
    for certificate in own:
        end = certificate.not_valid_after_utc
        if end < datetime.now(UTC):
            what = f"the certificate of the server has expired at {end:%Y-%m-%dT%H:%M}Z: nobody connects to it"
            yield error("tls", str(file), what, f"{RENEWING} {state}, or start the tier: it renews it by itself")
        elif is_due(certificate):
            what = f"the certificate of the server ends at {end:%Y-%m-%dT%H:%M}Z, and was not renewed"
            yield warning("tls", str(file), what, f"{RENEWING} {state}; the tier does it by itself while it runs")
    said = LogFile(state / "nats.log")
    lines = said.since(max(0, said.end() - LOOKED_AT)).splitlines()[-LAST_LINES:]
    told = [line for line in lines if "TLS" in line and "handshake error" in line]
    if told:
        reason = told[-1].rpartition("handshake error: ")[2]
        what = f"a TLS handshake failed a moment ago: {reason}"
        remedy = (
            "x509: the other's certificate has expired, or its authority is not the one in the address (--parent) or in"
            " --parent-ca: take the address that the parent prints now"
        )
        yield error("tls", str(state / "nats.log"), what, remedy)


def the_log(where: Path | str, whole: bool, path: str | None = None) -> Iterator[Finding]:
    """The event log in a file or database, that of the tier `path` where several are in one: that nobody sits on it,
    and that it is whole."""
    log = shown(str(where))
    verifying = f"ote store verify --log {log}" + (f" --path {path}" if path else "")
    try:
        yield from _look_into(where, log, verifying, whole, path)
    except StoreError as damaged:
        remedy = "see that the database runs, and what is in it" if is_remote(str(where)) else verifying
        what = f"the log can not be opened: {damaged}"
        yield error("log", log, what, f"{remedy}; docs/operations.md, Backup")


def _look_into(where: Path | str, log: str, verifying: str, whole: bool, path: str | None) -> Iterator[Finding]:
    if is_locked(where, PATIENCE, path):
        what = f"something holds the write lock of {log} for more than {PATIENCE:g} s: nothing can be recorded"
        sessions = "SELECT * FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory'"
        finding = f"in the database: {sessions}" if is_remote(str(where)) else f"fuser -v {log}"
        yield error("log", log, what, f"find and end it: {finding}")
        return
    if not whole and (large := size_of(where, path)) > QUICK:
        what = f"{log} was not verified: it has {size(large)}"
        yield note("log", log, what, f"ote doctor --verify, or {verifying}; the tier may go on")
        return
    vouch = None if is_remote(str(where)) else voucher(Path(where).parent)
    if found := verify(where, Event.decode, source=path, vouch=vouch):
        what = f"{log} is not whole: {count_of(len(found), 'finding')}, the first: {found[0].where}: {found[0].what}"
        derived = all(finding.kind not in ("file", "event") for finding in found)
        rebuilding = verifying.replace("verify", "rebuild", 1)
        remedy = f"stop the tier, then: {rebuilding}" if derived else "docs/operations.md, Backup"
        yield error("log", log, what, f"{verifying} lists all; {remedy}")


def tier_pid(state: Path) -> int | None:
    """The process of the tier that runs on this directory, as far as it says itself."""
    try:
        pid = int(json.loads((state / "tier.json").read_text())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if Process(pid).alive() else None


def tier_path(state: Path) -> str | None:
    """The path of the tier that runs on this directory, or did not end in order."""
    try:
        return str(json.loads((state / "tier.json").read_text())["path"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return True
    return False

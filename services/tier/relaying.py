"""A tier helps its siblings: those that have lost their way to the parent reach it through this tier."""

from __future__ import annotations

import errno
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bus.errors import Unavailable
from leafnodes.auth import netloc
from leafnodes.byte_relay import ByteRelay
from leafnodes.config import address_of
from leafnodes.ports import free_port
from leafnodes.server import WILDCARDS
from services.tier.settings import TierSettings

#: In the state directory: the port of the last start.
PORT = "relay.json"
ATTEMPTS = 5


@asynccontextmanager
async def relaying(settings: TierSettings) -> AsyncIterator[ByteRelay | None]:
    """What passes the links of siblings on within the block; None where there is nothing to pass on, or nobody who
    looks after the link. Unavailable if it can not listen."""
    looks_after = settings.failover and settings.nats_url is None and not settings.joins
    if settings.parent is None or not settings.relays or not looks_after:
        yield None
        return
    relay = ByteRelay(address_of(settings.parent), settings.relays)
    await _listen(relay, settings)
    try:
        yield relay
    finally:
        await relay.stop()


def relay_address(settings: TierSettings, relay: ByteRelay | None) -> str:
    """Where siblings reach it (host:port), or ""."""
    host = settings.advertise or WILDCARDS.get(settings.host, settings.host)
    return netloc(host, relay.port) if relay is not None else ""


async def _listen(relay: ByteRelay, settings: TierSettings) -> None:
    file = settings.state / PORT
    port = settings.relay_port or _port_before(file) or free_port(settings.host)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            await relay.start(settings.host, port)
        except OSError as error:
            if settings.relay_port or error.errno != errno.EADDRINUSE or attempt == ATTEMPTS:
                raise _refused(settings, port, error) from None
            port = free_port(settings.host)
        else:
            file.write_text(json.dumps({"port": port}) + "\n")
            return


def _refused(settings: TierSettings, port: int, error: OSError) -> Unavailable:
    return Unavailable(
        f"siblings can not be helped at {netloc(settings.host, port)}: {error.strerror or error}",
        field="relay_port",
        hint="--relay-port 0 takes a free port, --relays 0 does without",
    )


def _port_before(file: Path) -> int | None:
    try:
        return int(json.loads(file.read_text())["port"])
    except (OSError, ValueError, LookupError, TypeError):
        return None

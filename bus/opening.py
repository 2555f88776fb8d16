"""The first connection, and when to try again for the ones after it."""

from __future__ import annotations

import asyncio
import base64
import random
import re
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast
from urllib.parse import urldefrag

from nats.aio.client import Server
from nats.errors import Error

from bus.connection import Connection
from bus.errors import BadRequest, OteError, Refused
from bus.inbox import NoAnswer

PING_INTERVAL = 2
"""Seconds; a server that answers no ping is left after three of them."""
MAX_PINGS = 2
FIRST_WAIT = 0.1
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds before the first try to come back, and at most between later ones; random below these."""


async def open_connection(
    connection: Connection,
    urls: Sequence[str],
    patience: float | None,
    *,
    error_cb: Callable[[Exception], Awaitable[None]],
    **options: Any,
) -> None:
    """Connects: nats-py would try for ever, here for `patience` seconds (None: for ever).

    Raises:
        Refused: a server does not take these credentials.
        Unavailable: no server could be reached in time.
        BadRequest: an address is none.
    """
    failures: list[Exception] = []
    refused = asyncio.Event()
    if (context := secured(urls)) is not None:
        options["tls"] = context

    async def noticed(error: Exception) -> None:
        failures[:] = [error]
        if "authorization violation" in str(error).lower():
            refused.set()
        await error_cb(error)

    trying = asyncio.ensure_future(
        connection.connect(
            [urldefrag(url)[0] for url in urls],
            error_cb=noticed,
            max_reconnect_attempts=-1,
            # The pause between the first tries: the handler's are for later ones. A fraction does as well.
            reconnect_time_wait=cast(int, FIRST_WAIT),
            reconnect_to_server_handler=next_try,
            ping_interval=PING_INTERVAL,
            max_outstanding_pings=MAX_PINGS,
            pending_size=-1,
            **options,
        )
    )
    refusal = asyncio.ensure_future(refused.wait())
    opened = False
    try:
        await asyncio.wait({trying, refusal}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if not trying.done():
            raise _why(urls, refused.is_set(), failures)
        await trying
        opened = True
    except (Error, ValueError) as error:
        raise BadRequest(f"{_shown(urls)} is no address of a NATS server: {error}", field="server") from None
    finally:
        refusal.cancel()
        if not opened:
            trying.cancel()
            await asyncio.gather(trying, return_exceptions=True)
            await connection.end()


def secured(urls: Sequence[str]) -> ssl.SSLContext | None:
    """How to believe the servers at these addresses; None where none speaks TLS. `tls://HOST:PORT#WORD` ends with the
    certificate of its authority; without a word it is one that this machine knows. BadRequest if the word is none."""
    if not any(url.startswith("tls:") for url in urls):
        return None
    words = [word for _, word in map(urldefrag, urls) if word]
    context = ssl.create_default_context() if not words else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Where a new authority is vouched for by the one before, that one is enough.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    for word in words:
        try:
            context.load_verify_locations(cadata=base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)))
        except (ssl.SSLError, ValueError):
            hint = "copy the address as a whole, with what stands behind #"
            raise BadRequest("the certificate in the address is none", field="server", hint=hint) from None
    return context


def next_try(servers: list[Server], info: dict[str, Any]) -> tuple[Server, float]:
    """The server that failed least, after a random pause that grows with its failures."""
    server = min(servers, key=lambda each: each.reconnects)
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(server.reconnects, 10))
    return server, random.uniform(0, longest)


def _why(urls: Sequence[str], refused: bool, failures: list[Exception]) -> OteError:
    if refused:
        hint = "give them in the address: nats://USER:PASSWORD@HOST:PORT, or as a file: --creds FILE"
        return Refused(f"{_shown(urls)} refused these credentials", hint=hint)
    reason = f": {str(failures[-1]) or type(failures[-1]).__name__}" if failures else ""
    return NoAnswer(
        f"no NATS server answers at {_shown(urls)}{reason}", hint="is the tier running? ote doctor says more"
    )


def _shown(urls: Sequence[str]) -> str:
    """The addresses without credentials."""
    return ", ".join(re.sub(r"//[^/]*@", "//", urldefrag(url)[0]) for url in urls)

"""How a cluster is admitted, on its side: it asks its parent, through the link that a token opens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urldefrag

from bus import paths, subjects
from bus.client import Bus, NoAnswer
from bus.credential import Credential
from bus.errors import BadMessage, Refused, Unavailable
from leafnodes.credentials.joining import Admittance, Token
from leafnodes.credentials.scopes import NEWCOMER
from leafnodes.credentials.store import State
from leafnodes.credentials.tier import Credentials
from leafnodes.server import NatsServer
from leafnodes.tls import dialling

#: How long one answer may take, between two asks, and how long nobody may answer at all (seconds).
ANSWER, AGAIN, PATIENCE = 3.0, 0.25, 30.0

#: Told how far it is.
Told = Callable[[str], None]


async def ask(
    bus: Bus, credentials: Credentials, token: Token | None = None, before: Mapping[str, int] | None = None
) -> Admittance:
    """What the parent answers; `before` is what the own log said without a key. Unavailable if it does not answer,
    BadMessage if it is none."""
    payload = credentials.apply(token, before)
    answer = await bus.request(subjects.join(credentials.path), payload, timeout=ANSWER)
    return Admittance.unpack(answer.data)


async def until_admitted(bus: Bus, credentials: Credentials, token: Token, told: Told) -> Admittance:
    """Asks until the parent admits this cluster: as long as the token is good, if somebody must accept it there.

    Raises:
        Refused: the parent says why.
        Unavailable: it does not answer.
    """
    end = time.monotonic() + PATIENCE
    why = "no answer"
    while time.monotonic() < end and time.time() < token.expires:
        try:
            answer = await ask(bus, credentials, token)
        except (NoAnswer, BadMessage) as error:
            why = error.message
        else:
            if answer.state == "admitted":
                return answer
            if answer.state == "refused":
                raise Refused(f"not admitted: {answer.why}", field="token")
            told(f"waits to be accepted: ote accept {credentials.path}, at {paths.parent(credentials.path)}")
            end = time.monotonic() + PATIENCE
        await asyncio.sleep(AGAIN)
    raise Unavailable(
        f"{paths.parent(credentials.path)} does not admit this cluster: {why}",
        hint=f"can {token.parent} be reached from here? nats.log in the state directory says more",
    )


async def join(token: Token, state: Path, told: Told, *, binary: Path | None = None) -> Credentials:
    """Makes the keys of a new cluster, or takes those that are there, and has it admitted. Its tier must not run."""
    credentials = Credentials.load(state)
    if credentials is None:
        own = State(path=token.path, tags=token.tags, parent=token.parent, trusted=token.trusted)
        credentials = Credentials.found(state, own)
    _must_be_of(credentials, token)
    credentials.borrow(token)
    told(f"asks {paths.parent(token.path)} at {urldefrag(token.parent)[0]}")
    tls = dialling(state, token.path, token.parent)
    server = NatsServer(
        state_dir=state, path=token.path, parent=token.parent, binary=binary, credentials=credentials, tls=tls
    )
    async with server, await _connect(server, credentials) as bus:
        answer = await until_admitted(bus, credentials, token, told)
        credentials.adopt(answer)
    credentials.give_back()
    credentials.change(parent=token.parent, tags=token.tags or credentials.state.tags)
    return credentials


async def rejoin(server: NatsServer, credentials: Credentials, token: Token) -> None:
    """The same while the tier runs: it goes on by itself meanwhile."""
    _must_be_of(credentials, token)
    credentials.borrow(token)
    try:
        await server.refresh()
        async with await _connect(server, credentials) as bus:
            credentials.adopt(await until_admitted(bus, credentials, token, lambda _: None))
    finally:
        credentials.give_back()
        with suppress(Unavailable):
            await server.refresh()


def _must_be_of(credentials: Credentials, token: Token) -> None:
    if credentials.path != token.path:
        raise Refused(
            f"this token is for {token.path}, and the credentials here are those of {credentials.path}",
            field="token",
            hint="give another --state, or ask for a token with this path",
        )


async def _connect(server: NatsServer, credentials: Credentials) -> Bus:
    return await Bus.connect(
        server.client_url,
        name=f"ote join {credentials.path}",
        inbox=subjects.inbox(credentials.path, NEWCOMER),
        credential=Credential.load(credentials.services_file()),
    )

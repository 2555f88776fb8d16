"""The parent's side of admission: tokens, who is admitted and who no longer, and what each child is given.

All of it is in the log: a token (its id, never its secret) and who applied with it stay in this tier's own, that a
cluster was admitted or revoked goes up. The account of the tier's server follows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from bus import join_messages as m
from bus import paths, subjects, tags
from bus.client import Message
from bus.errors import BadRequest, OteError, Refused, Unavailable
from bus.event import Draft, Event, format_time, parse_time
from bus.types import ACCEPTED, ADMITTED, APPLIED, INVITED, REFUSED_CLUSTER, REVOKED
from leafnodes.credentials.joining import Admittance, Application, token_id
from leafnodes.credentials.store import Child, Public
from leafnodes.credentials.tier import Credentials, ring
from services.controller import door
from services.controller.hush import Hush
from services.tier.runtime import Runtime
from store.api import Reader
from store.errors import StoreError

logger = structlog.get_logger()

FOLLOWED = (INVITED, APPLIED, ACCEPTED, ADMITTED, REVOKED)
#: Events read at once at the start, and between two attempts to change the server (seconds).
PAGE, RETRY = 1000, 1.0


@dataclass(slots=True)
class Invitation:
    """A token that was given out; `expires` is seconds since 1970. `key` is whose it has become."""

    path: str
    tags: list[str]
    expires: float
    approval: bool
    key: str | None = None


class Admission:
    """Says who is a child of this tier."""

    def __init__(self, runtime: Runtime, credentials: Credentials) -> None:
        self._runtime = runtime
        self._credentials = credentials
        self._me = runtime.path
        self._invitations: dict[str, Invitation] = {}
        self._waiting: dict[str, m.Applicant] = {}
        self._accepted: set[tuple[str, str]] = set()
        #: What was said of each key that was admitted.
        self._admitted: dict[str, dict[str, Any]] = {}
        self._lock = asyncio.Lock()
        self._hush = Hush()
        self._after = 0

    async def start(self) -> None:
        """Takes up where the log stands, and listens."""
        while events := await self._runtime.log.read(self._next):
            for event in events:
                self._fold(event)
        await self._runtime.bus.subscribe(subjects.joins_below(self._me), self._on_join)

    def _next(self, reader: Reader[Event]) -> list[Event]:
        stored = reader.events(after=self._after, types=FOLLOWED, limit=PAGE)
        self._after = stored[-1].row if stored else self._after
        return [each.event for each in stored]

    async def run(self) -> None:
        """Follows the log: what people tell this tier of its children is a command, which leaves its word there."""
        async for batch in self._runtime.log.follow(after=self._after, types=FOLLOWED):
            if any([self._fold(stored.event) for stored in batch]):
                await self._apply()
                self._tell(self._relatives())

    def _fold(self, event: Event) -> bool:
        """Whether the server must know of it."""
        data = event.data
        path, key = str(data.get("path")), str(data.get("key"))
        if event.type == REVOKED and event.source != path and paths.is_under(path, event.source):
            return self._credentials.revoke(key)
        if event.source != self._me:
            return False
        if event.type == INVITED:
            self._invitations[data["token"]] = Invitation(
                path, list(data["tags"]), parse_time(data["expires"]).timestamp(), data["approval"]
            )
        elif event.type == APPLIED:
            self._waiting[path] = m.Applicant(path=path, key=key, token=data["token"], since=event.time)
        elif event.type == ACCEPTED:
            self._accepted.add((path, key))
        elif event.type == ADMITTED:
            self._fold_admitted(event, path, key)
        return False

    def _fold_admitted(self, event: Event, path: str, key: str) -> None:
        data = event.data
        self._admitted[key] = dict(data)
        if (invitation := self._invitations.get(data.get("token", ""))) is not None:
            invitation.key = key
        self._waiting.pop(path, None)
        known = self._credentials.state.children.get(path)
        if "account" not in data or key in self._credentials.state.revoked:
            return
        public = Public(cluster=key, account=data["account"], admission=data["admission"])
        if known is None or known.public != public:
            self._credentials.admit(path, Child(public=public, tags=tags.to_texts(data["tags"])))

    async def _apply(self) -> None:
        """The server takes the account as it is now."""
        while self._runtime.server is not None:
            try:
                await self._runtime.server.refresh()
                break
            except Unavailable as error:
                logger.error("the server did not take its account; trying again", error=error.message)
                await asyncio.sleep(RETRY)

    def _tell(self, told: Iterable[str]) -> None:
        """These hear that there is something for them; who does not hear it asks when it is back."""
        for path in told:
            with suppress(Unavailable):
                self._runtime.bus.send(subjects.wake(path), subjects.CREDENTIALS)

    def _relatives(self) -> set[str]:
        """The children that have children of their own, and those that would take these in."""
        children = self._credentials.state.children
        hosts = {path for path, child in children.items() if child.hosts}
        return hosts.union(*(ring(path, children) for path in hosts))

    # Tokens --------------------------------------------------------------------------------------

    async def token(self, request: m.JoinTokenRequest) -> m.JoinTokenAnswer:
        """Gives out a token. The log knows it first."""
        if paths.parent(request.path) != self._me:
            parent = paths.parent(request.path)
            where = f"{parent} gives it out" if parent else "a root is nobody's child: ote init"
            raise BadRequest(f"{request.path} is no child of {self._me}", field="path", hint=where)
        if self._runtime.server is None or not self._runtime.leaf:
            raise Unavailable("this process has no server of its own to which a child could attach")
        labels = tags.parse_tags(request.tags)
        token = self._credentials.invite(
            request.path, tags.to_texts(labels), f"nats-leaf://{self._runtime.leaf}", request.ttl
        )
        expires = format_time(datetime.fromtimestamp(token.expires, UTC))
        data = {"path": token.path, "token": token.id, "tags": token.tags, "expires": expires}
        draft = self._draft(INVITED, {**data, "approval": request.approval}, request.actor)
        self._fold(await self._runtime.commit(lambda tx: tx.append(draft)))
        return m.JoinTokenAnswer(path=token.path, token=token.text(), id=token.id, expires=expires)

    async def applicants(self, _: m.ApplicantsRequest) -> m.ApplicantsAnswer:
        """Who waits."""
        return m.ApplicantsAnswer(applicants=[self._waiting[path] for path in sorted(self._waiting)])

    def _draft(self, kind: str, data: dict[str, Any], actor: str | None = None) -> Draft:
        return Draft(
            kind, subjects.event(kind, self._me), data, actor=actor, shared=kind in (ADMITTED, REFUSED_CLUSTER)
        )

    # Who asks ------------------------------------------------------------------------------------

    def _on_join(self, message: Message) -> None:
        self._runtime.spawn(self._answer(message), "answer who wants to join")

    async def _answer(self, message: Message) -> None:
        try:
            said = Application.unpack(message.data)
            # The subject is what its credential allows.
            if said.path != subjects.path_of_join(message.subject):
                raise Refused(f"{said.path} asks as another: {message.subject}")
            async with self._lock:
                answer = await self._decide(said)
        except (OteError, StoreError) as error:
            if times := self._hush.times((message.subject, str(error))):
                logger.warning("not admitted", subject=message.subject, reason=str(error), times=times)
            answer = Admittance(state="refused", why=str(error))
        message.respond(answer.model_dump_json().encode())

    async def _decide(self, said: Application) -> Admittance:
        key = said.public.cluster
        if key in self._credentials.state.revoked:
            raise Refused("this key was revoked: remove the credentials at the site, and join with a new token")
        known = self._credentials.state.children.get(said.path)
        if said.token is not None:
            invitation = self._invitation(said.token, said.path)
            if invitation.key not in (None, key):
                await self._refuse(said, f"the token {token_id(said.token)} was used already, with another key")
            if known is not None and known.public.cluster != key:
                await self._refuse(said, f"{said.path} has another key: revoke that first (ote revoke {said.path})")
            if invitation.approval and (said.path, key) not in self._accepted and known is None:
                return await self._wait(said)
            if invitation.key is None or known is None:
                await self._admit(said, invitation)
        elif known is None or known.public.cluster != key:
            raise Refused(f"{said.path} was not admitted with this key: ote join-token --path {said.path}")
        await self._note(said)
        return self._credentials.admittance(said.path, self._runtime.settings.credential_life)

    def _invitation(self, secret: str, path: str) -> Invitation:
        found = self._invitations.get(token_id(secret))
        if found is None or found.path != path:
            raise Refused(f"this token was not given out here for {path}")
        if found.expires < time.time():
            raise Refused("this token has expired")
        return found

    async def _refuse(self, said: Application, reason: str) -> None:
        data = {"path": said.path, "instance": said.public.cluster, "owner": "", "reason": reason}
        draft = self._draft(REFUSED_CLUSTER, data)
        await self._runtime.log.write(lambda tx: tx.append(draft))
        raise Refused(reason)

    async def _wait(self, said: Application) -> Admittance:
        public, token = said.public, token_id(said.token or "")
        waiting = self._waiting.get(said.path)
        if waiting is None or waiting.key != public.cluster:
            draft = self._draft(APPLIED, {"path": said.path, "key": public.cluster, "token": token})
            self._fold(await self._runtime.log.write(lambda tx: tx.append(draft)))
        return Admittance(state="waiting")

    async def _admit(self, said: Application, invitation: Invitation) -> None:
        public = said.public
        data = {
            "path": said.path,
            "key": public.cluster,
            "tags": tags.parse_tags(invitation.tags),
            "token": token_id(said.token or ""),
            "account": public.account,
            "admission": public.admission,
        }
        draft = self._draft(ADMITTED, data)
        self._fold(await self._runtime.log.write(lambda tx: tx.append(draft)))
        self._tell(self._relatives())
        logger.warning("admitted", path=said.path, key=public.cluster)

    async def _note(self, said: Application) -> None:
        """What a child has become: one that has children needs others who would take them in. What it said before it
        had a key, when the tree ran on a password, it says once: only so far nobody asks for its signature."""
        known = self._admitted.get(said.public.cluster)
        spoken = [[life, seq] for life, seq in said.before if door.is_epoch(life) and seq > 0]
        if known is not None and spoken and not known.get("before"):
            draft = self._draft(ADMITTED, {**known, "before": spoken})
            self._fold(await self._runtime.log.write(lambda tx: tx.append(draft)))
        child = self._credentials.state.children[said.path]
        if said.hosts == child.hosts:
            return
        self._credentials.admit(said.path, child.model_copy(update={"hosts": said.hosts}))
        await self._apply()
        self._tell(self._relatives() - {said.path})

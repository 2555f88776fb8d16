"""Clusters that have lost their own parent and are attached to this tier for a while.

A guest asks whether it may stay, and says so again with each heartbeat. This tier carries its messages as NATS does,
and judges whether it is there; what the guest does and what it is told is no affair of this tier.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgpack
import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from bus import paths, subjects
from bus.client import Message
from bus.contracts import PathText
from bus.errors import OteError
from bus.event import Draft, format_time
from bus.types import OFFLINE, ONLINE
from services.controller.hush import Hush
from services.controller.links.kin import Kin
from services.controller.patience import rounds
from services.tier.mail import is_first
from services.tier.runtime import Runtime

logger = structlog.get_logger()


class Knock(BaseModel):
    """A cluster asks to stay, says that it is still there, or that it is `leaving`. (`epoch`, `seq`) is the place of
    its own last word on where it is."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    path: PathText
    instance: str
    epoch: str = ""
    seq: int = 0
    leaving: bool = False


class Welcome(BaseModel):
    """Whether it may; `most` is how many guests this tier takes in."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    admitted: bool
    guests: int
    most: int
    reason: str | None = None


@dataclass(slots=True)
class Guest:
    """A guest: since when, and when it was heard last (monotonic)."""

    knock: Knock
    since: str
    heard: float
    state: str = "online"


class Guests:
    """Those who are attached to this tier without being its children."""

    def __init__(self, runtime: Runtime, kin: Kin) -> None:
        self._runtime = runtime
        self._kin = kin
        self._hush = Hush()
        self.present: dict[str, Guest] = {}
        #: Of whom it was said that they are offline, and not that they are back: also of those that left meanwhile.
        self._gone: set[str] = set()
        #: Of whom this life of the log has said last whether they are there.
        self._judged: set[str] = set()

    async def start(self) -> None:
        """Takes up what was said of guests before, and listens at the door."""
        me, tree = self._runtime.path, self._runtime.path.partition(".")[0]
        rows = await self._runtime.log.read(lambda reader: reader.clusters(tree))
        # Of a guest from elsewhere only the words of this tier are in its log, and none of where it is.
        strangers = [row for row in rows if row.parent != me and row.path != me and row.attached_to in (None, me)]
        self._gone = {row.path for row in strangers if row.state == "offline"}
        self._judged = {row.path for row in strangers if row.judged == self._runtime.log.epoch}
        await self._runtime.bus.subscribe(subjects.guests_of(self._runtime.path), self._on_knock)

    def _on_knock(self, message: Message) -> None:
        try:
            knock = Knock.model_validate(msgpack.unpackb(message.data))
            # The subject is what its credential allows; what it says of itself must agree.
            if knock.path != subjects.path_of_guest(message.subject, self._runtime.path):
                raise ValueError(f"{knock.path} asks as another: {message.subject}")
        except (OteError, ValueError, ValidationError, msgpack.UnpackException) as error:
            if times := self._hush.times(message.subject):
                logger.warning("not a guest", subject=message.subject, error=str(error)[:200], times=times)
            return
        message.respond(msgpack.packb(self._answer(knock).model_dump()))

    def _answer(self, knock: Knock) -> Welcome:
        most = self._runtime.settings.guests
        if knock.leaving:
            self.present.pop(knock.path, None)
            return Welcome(admitted=False, guests=len(self.present), most=most)
        known = self.present.get(knock.path)
        reason = None if known is not None and not self._kin.drained else self._objection(knock.path)
        if reason is not None:
            self.present.pop(knock.path, None)
            return Welcome(admitted=False, guests=len(self.present), most=most, reason=reason)
        if known is None:
            logger.info("a guest is here", path=knock.path)
            known = self.present[knock.path] = Guest(knock, _time(0), 0.0)
        known.knock, known.heard = knock, time.monotonic()
        known.state = "online"
        if self._is_unsaid(knock.path):
            # Who left and came back may have no new word of its own on where it is.
            self._gone.discard(knock.path)
            self._say(ONLINE, {"path": knock.path, "attached_to": self._runtime.path}, known)
        return Welcome(admitted=True, guests=len(self.present), most=most)

    def _is_unsaid(self, path: str) -> bool:
        """Whether others may hold it to be offline by the word of this tier: what an earlier life of its log said last
        is not known for certain here."""
        return path in self._gone or not (is_first(self._runtime.log.epoch) or path in self._judged)

    def _objection(self, path: str) -> str | None:
        most = self._runtime.settings.guests
        if self._kin.drained:
            return f"{self._runtime.path} is in maintenance"
        if len(self.present) >= most:
            return f"{self._runtime.path} has {most} guests, and takes no more"
        if paths.is_under(self._runtime.path, path):
            return f"{self._runtime.path} is below {path}"
        return None

    async def run(self) -> None:
        """Notices who is silent."""
        settings = self._runtime.settings
        async for _ in rounds(settings.heartbeat):
            limit = time.monotonic() - settings.heartbeat * settings.missed_heartbeats
            for path, guest in self.present.items():
                if guest.state == "online" and guest.heard < limit:
                    logger.warning("a guest is offline", path=path)
                    guest.state = "offline"
                    self._gone.add(path)
                    self._say(OFFLINE, {"path": path, "since": _time(time.monotonic() - guest.heard)}, guest)

    def _say(self, kind: str, data: dict[str, Any], guest: Guest) -> None:
        """Its word counts as far as it knew where the guest said that it is."""
        self._judged.add(guest.knock.path)
        data["of"] = {"epoch": guest.knock.epoch, "seq": guest.knock.seq}
        self._runtime.append_later(Draft(type=kind, subject=subjects.event(kind, self._runtime.path), data=data))


def _time(ago: float) -> str:
    return format_time(datetime.now(UTC) - timedelta(seconds=ago))

"""A tier's retention: what is old leaves its log, in small steps beside its work."""

from __future__ import annotations

import asyncio

import structlog

from bus.event import Event
from services.tier.settings import TierSettings
from store.api import Log
from store.compaction import Retention, compact
from store.errors import StoreError

logger = structlog.get_logger()

#: Between two steps, so that whoever waits for a commit has his turn (seconds).
PAUSE = 0.02


def retention(settings: TierSettings) -> Retention | None:
    """What the settings say; None if the log keeps everything."""
    if settings.joins or (settings.retain_for is None and settings.retain_bytes is None):
        return None
    return Retention(settings.retain_for, settings.retain_bytes)


async def retain(log: Log[Event], keep: Retention, interval: float) -> None:
    """Compacts for ever. What can not be written now is tried again the next time."""
    while True:
        await asyncio.sleep(interval)
        try:
            done = await compact(log, keep, pause=PAUSE)
        except StoreError as error:
            logger.error("the log was not compacted", error=str(error))
            continue
        if done.dropped:
            logger.info("the log was compacted", dropped=done.dropped, bytes_in_use=done.used)
        if keep.to_size is not None and done.used > keep.to_size:
            logger.warning("the log holds more than it should, and all of it is needed", bytes_in_use=done.used)

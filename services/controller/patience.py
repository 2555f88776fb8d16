"""When to look who is silent: not when this tier has stood still itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator


async def rounds(pause: float) -> AsyncIterator[None]:
    """Once in so many seconds, for ever. After a pause that took twice as long, as where a machine slept or has too
    much to do, a round is left out: what others have said meanwhile is heard first."""
    stood_still = False
    while True:
        begin = time.monotonic()
        await asyncio.sleep(pause)
        stood_still = not stood_still and time.monotonic() - begin > 2 * pause
        if not stood_still:
            yield

"""Ctrl-C for commands that hold processes: the first one ends the work, no further one ends the cleaning up."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from services.cli.printing import note

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """The work was ended by a signal, and has cleaned up behind itself."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, the first signal cancels this task; those after it are only answered. The block is left with
    Interrupted then, once all that it held has been let go."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    seen: list[int] = []

    def interrupt(number: int) -> None:
        seen.append(number)
        if len(seen) == 1:
            task.cancel()
        else:
            note("still taking things down, so that nothing is left behind")

    for number in SIGNALS:
        loop.add_signal_handler(number, interrupt, number)
    try:
        yield
    except BaseException as error:
        if not seen:
            raise
        # What a cancelled task group raised is of no interest any more.
        task.uncancel()
        raise Interrupted from error
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def surely(work: Coroutine[Any, Any, object]) -> None:
    """Does the work to its end, also when this task is cancelled meanwhile; the cancellation comes after it."""
    doing = asyncio.create_task(work, name="cleaning up")
    cancelled = False
    while not doing.done():
        try:
            await asyncio.shield(doing)
        except asyncio.CancelledError:
            cancelled = True
    await doing
    if cancelled:
        raise asyncio.CancelledError

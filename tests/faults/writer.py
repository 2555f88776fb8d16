"""`python -m tests.faults.writer PATH LOG TARGET`: a second process that writes the log of a tier.

It appends events of the tier and submits commands in its name, as a service of the tier would that runs
alone, and prints what was committed: `event ID` or `command ID`. It goes on until it is ended.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import count

from bus import subjects
from bus.event import Draft, Event, new_id
from services.controller.delivery.submission import Order, Target, plan, submit
from store.api import Log
from store.sql import open_log
from tests.faults.load import local
from tests.faults.orphans import end_with_the_test

SAMPLED = "ote.node.sampled.v1"
AT_ONCE = 4
#: Between two commits of one of them: the other process is to have its turn as well (seconds).
PACE = 0.02


async def write(path: str, file: str, target: str) -> None:
    """Writes, several at once."""
    async with open_log(file, source=path, decode=Event.decode) as log:
        numbers = count()

        async def work() -> None:
            for number in numbers:
                await (_command(log, target, number) if number % 4 == 0 else _event(log, path, number))
                await asyncio.sleep(PACE)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work(), name="write")


async def _event(log: Log[Event], path: str, number: int) -> None:
    draft = Draft(SAMPLED, subjects.event(SAMPLED, path), {"number": number})
    event = await log.write(lambda tx: tx.append(draft))
    print("event", event.id, flush=True)


async def _command(log: Log[Event], target: str, number: int) -> None:
    order = Order(new_id(), target, local(new_id(), number))
    order.do["args"]["manifest"]["data"]["command"] = order.id
    chunks = plan([Target(target)], lambda _: None)
    await log.write(lambda tx: submit(tx, order, chunks, max_payload=1 << 20))
    print("command", order.id, flush=True)


if __name__ == "__main__":
    end_with_the_test()
    asyncio.run(write(*sys.argv[1:4]))

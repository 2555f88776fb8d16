"""A process that writes to a log: `python -m tests.integration.store_writer PLACE NAME COUNT LANES`.

Each line that it prints is an event that is committed: id, seq, and the mailbox number that it took.
"""

from __future__ import annotations

import asyncio
import sys

from bus.event import Event
from store.api import Tx
from store.sql import open_log
from tests.unit.store.samples import submitted

TARGETS = ("root.a", "root.b", "root.c")


async def main(place: str, name: str, count: int, lanes: int) -> None:
    async with open_log(place, source="root", decode=Event.decode) as log:
        print("open", log.epoch, flush=True)

        def op(tx: Tx[Event], n: int) -> Event:
            target = TARGETS[n % len(TARGETS)]
            return tx.append(submitted(f"{name}-{n}", [(target, tx.number(target))]))

        async def lane(numbers: range) -> None:
            for n in numbers:
                event = await log.write(lambda tx, n=n: op(tx, n), lazy=n % 5 == 0)
                print(event.id, event.seq, event.to[0].path, event.to[0].number, flush=True)

        await asyncio.gather(*(lane(range(first, count, lanes)) for first in range(lanes)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))

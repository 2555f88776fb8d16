"""`python -m tests.faults.counter URL FILE`: a shim of kind `counter`, whose effect can not be taken back.

Each execution adds a line to the file, `command attempt verb`, and only then is answered: the file is
what the world has seen. `bump` is not safe to repeat, `set` is; `die` is the last thing it does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from bus import subjects
from bus.client import Bus, Message
from tests.faults.orphans import end_with_the_test

KIND = "counter"
VERBS = {"bump": {"idempotent": False}, "set": {"idempotent": True}, "die": {"idempotent": False}}


async def serve(url: str, file: Path) -> None:
    """Answers until it is ended."""
    with file.open("ab", buffering=0) as world:

        def execute(message: Message) -> None:
            request = json.loads(message.data)
            os.write(world.fileno(), f"{request['id']} {request['attempt']} {request['verb']}\n".encode())
            if request["verb"] == "die":
                os._exit(1)
            message.respond(json.dumps({"ok": True, "result": {"verb": request["verb"]}}).encode())

        def describe(message: Message) -> None:
            message.respond(json.dumps({"kind": KIND, "verbs": VERBS}).encode())

        async with await Bus.connect(url, name="counter") as bus:
            await bus.subscribe(subjects.shim(KIND, "execute"), execute)
            await bus.subscribe(subjects.shim(KIND, "describe"), describe)
            await bus.flush()
            print("ready", flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    end_with_the_test()
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))

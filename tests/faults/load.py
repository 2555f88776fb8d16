"""Commands for a tree in trouble: each is submitted until it is acknowledged, and none is forgotten."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from bus.errors import BadRequest, NotFound, Unavailable
from bus.event import new_id
from tests.faults.kit import Tree

OBJECTS = 5
PATIENCE = 300.0
AGAIN = 0.05


class Load:
    """What was sent through a tree. `acknowledged` maps a command to the targets that were named."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._count = itertools.count()
        self.acknowledged: dict[str, list[str]] = {}
        self.origins: dict[str, str] = {}
        self._asked: set[asyncio.Task[str]] = set()

    async def submit(self, origin: str, to: str, do: dict[str, Any] | None = None, **more: Any) -> str:
        """Submits until the origin acknowledges; the same command, however often it is asked. With `maybe` it is
        dropped where the selector means nobody."""
        id = new_id()
        maybe = more.pop("maybe", False)
        body = {"id": id, "to": to, "do": do or local(id, next(self._count)), **more}
        async with asyncio.timeout(PATIENCE):
            while id not in self.acknowledged:
                try:
                    answer = await self._tree[origin].call("submit", body)
                except Unavailable:
                    await asyncio.sleep(AGAIN)
                except (BadRequest, NotFound):
                    if maybe:
                        break
                    raise
                else:
                    self.acknowledged[id], self.origins[id] = answer["targets"], origin
        return id

    def soon(self, origin: str, to: str, do: dict[str, Any] | None = None, **more: Any) -> asyncio.Task[str]:
        """The same, without waiting."""
        task = asyncio.create_task(self.submit(origin, to, do, **more), name=f"submit at {origin}")
        self._asked.add(task)
        return task

    def burst(self) -> None:
        """A few commands of every kind from every tier that is above a target."""
        for _ in range(2):
            self.soon("root", "tag:site")
            self.soon("root", "root.a.x", bump())
            self.soon("root", "root.a.x", safe())
            self.soon("root.a", "root.a.>")
            self.soon("root.a.x", "root.a.x")

    async def close(self) -> None:
        """Gives up what was asked and not answered."""
        for task in self._asked:
            task.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)

    async def told(self) -> None:
        """Returns when all that was asked is acknowledged."""
        asked, self._asked = self._asked, set()
        await asyncio.gather(*asked)


def local(id: str, count: int) -> dict[str, Any]:
    """One object of a few, which tells which command wrote it last."""
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"o{count % OBJECTS}"}}
    return {"verb": "apply", "args": {"manifest": {**manifest, "data": {"command": id}}}}


def bump() -> dict[str, Any]:
    """What must not be done twice."""
    return {"shim": "counter", "verb": "bump"}


def safe() -> dict[str, Any]:
    """What may be done twice."""
    return {"shim": "counter", "verb": "set"}

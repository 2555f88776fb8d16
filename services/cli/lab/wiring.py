"""The lab's end of its links: starts their program, joins children to parents, cuts and heals."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bus.errors import NotFound, Unavailable
from leafnodes.config import LOOPBACK
from leafnodes.ports import free_port
from leafnodes.process import Process
from services.cli.lab.link_files import Found, LinkFiles, LinkState, Wanted
from services.cli.lab.processes import Record
from services.cli.lab.trouble import StepFailed

#: Seconds: until the program of the links has done what is wanted; between looks whether it has.
PATIENCE, POLL = 10.0, 0.01
ATTEMPTS = 5


#: Between the child and the alternate, in the name of a link that the child uses when it has lost its parent.
TO = ">"


class Wiring:
    """The links of the lab in this directory, by the path of the child; those to its alternates (`CHILD>OTHER`) are in
    the same cable, and share its fate."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files = LinkFiles(directory)
        self._record = Record(self._files.record)

    @property
    def log(self) -> Path:
        """What the program of the links prints."""
        return self._files.log

    def process(self) -> Process | None:
        """The program of the links, if it runs."""
        return self._record.find()

    async def start(self) -> None:
        """Returns when the program runs."""
        process = self.process() or self._record.start(["services.cli.lab.links", str(self._directory)], self.log)
        await self._until(lambda: self._said_by(process.pid), "come up", process)

    def states(self) -> dict[str, LinkState | None]:
        """What the link of each child is; None is broken, and all are if their program does not run."""
        found = self._found() if self.process() is not None else {}
        children = [path for path in self._files.wanted() if TO not in path]
        return {path: found[path].state if path in found else None for path in children}

    async def reach(self, child: str, other: str, target: int, *, settled: bool) -> int:
        """The port on which `child` reaches another tier's leaf port, if it has lost its parent."""
        return await self.join(f"{child}{TO}{other}", target, settled=settled, like=child)

    async def join(self, child: str, target: int, *, settled: bool, like: str = "") -> int:
        """The port on which `child` reaches its parent's leaf port `target`. It stays the same while it can;
        once the child runs (`settled`) it must."""
        before = self._files.wanted().get(child)
        port = before.port if before else free_port()
        state: LinkState = before.state if before else "up"
        if like:
            state = self._files.wanted()[like].state
        for attempt in range(1, ATTEMPTS + 1):
            link = await self._order(child, Wanted(port, LOOPBACK, target, state))
            if link.error is None:
                break
            if settled or attempt == ATTEMPTS:
                raise StepFailed(f"the link of {child} can not listen: {link.error}", self.log)
            port = free_port()
        return port

    async def be(self, child: str, state: LinkState) -> None:
        """Returns when the link of this child is cut, hangs, or is up again."""
        wanted = self._files.wanted()
        if child not in wanted:
            raise NotFound(f"{child} has no link to a parent", field="path", hint=f"links: {', '.join(sorted(wanted))}")
        if self.process() is None:
            raise Unavailable("the links' program does not run", hint="ote lab up starts it again")
        for name in [child, *(name for name in wanted if name.startswith(child + TO))]:
            link = await self._order(name, replace(wanted[name], state=state))
            if link.error is not None:
                raise StepFailed(f"the link of {name} is not {state}: {link.error}", self.log)

    async def stop(self, grace: float) -> Process | None:
        """Ends the program and heals all links for the next start; the process if one ran."""
        process = self.process()
        if process is not None:
            await process.end(grace)
        self._record.forget()
        self._files.want({path: replace(entry, state="up") for path, entry in self._files.wanted().items()})
        return process

    def _found(self) -> dict[str, Found]:
        answer = self._files.found()
        return answer.links if answer else {}

    def _said_by(self, pid: int) -> bool:
        answer = self._files.found()
        return answer is not None and answer.pid == pid

    async def _order(self, child: str, wanted: Wanted) -> Found:
        """What the link is once its program has followed the order."""
        links = self._files.wanted()
        wanted = replace(wanted, order=links[child].order + 1 if child in links else 1)
        self._files.want({**links, child: wanted})

        def done() -> bool:
            link = self._found().get(child)
            return link is not None and link.order == wanted.order

        await self._until(done, f"bring the link of {child} {wanted.state}", self.process())
        return self._found()[child]

    async def _until(self, done: Callable[[], bool], what: str, process: Process | None) -> None:
        end = time.monotonic() + PATIENCE
        while not done():
            if process is None or not process.alive():
                raise StepFailed("the links' program ended", self.log)
            if time.monotonic() > end:
                raise StepFailed(f"the links did not {what} within {PATIENCE:g} s", self.log)
            await asyncio.sleep(POLL)

"""`python -m services.cli.lab.links DIR`: all links of a lab, in one process that outlives who started it.

Each child dials its parent through a proxy here, which stands in for the cable.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from leafnodes.proxy import LinkProxy
from services.cli.lab.link_files import Answer, Found, LinkFiles, LinkState, Wanted

#: Seconds between looks at what is wanted.
POLL = 0.02


class _Link:
    """The proxy of one child, and what became of the last order."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._proxy = LinkProxy(wanted.host, wanted.target, port=wanted.port)
        self._state: LinkState | None = None
        self._error: str | None = None

    def serves(self, wanted: Wanted) -> bool:
        """Whether it joins the same two ends."""
        ends = (self._wanted.port, self._wanted.host, self._wanted.target)
        return ends == (wanted.port, wanted.host, wanted.target)

    async def be(self, wanted: Wanted) -> None:
        """Brings the link into the state that is wanted."""
        self._wanted = wanted
        change = {"up": self._proxy.heal, "cut": self._proxy.cut, "hang": self._proxy.hang}[wanted.state]
        try:
            await change()
        except OSError as error:
            self._state, self._error = None, str(error)
        else:
            self._state, self._error = wanted.state, None

    async def end(self) -> None:
        """Nothing is left of it."""
        await self._proxy.stop()

    def found(self) -> Found:
        """What it is now."""
        return Found(self._wanted.order, self._state, self._proxy.connections, self._error)


class Links:
    """Does what is wanted in the lab's files, and says what there is."""

    def __init__(self, files: LinkFiles) -> None:
        self._files = files
        self._links: dict[str, _Link] = {}
        self._version: object = None
        self._told: Answer | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping` is set; then no link is left."""
        try:
            while not stopping.is_set():
                await self._look()
                await _pause(stopping)
        finally:
            for link in self._links.values():
                await link.end()

    async def _look(self) -> None:
        version = self._files.version()
        if version != self._version:
            self._version = version
            await self._do(self._files.wanted())
        answer = Answer(os.getpid(), {path: link.found() for path, link in self._links.items()})
        if answer != self._told:
            self._files.tell(answer)
            self._told = answer

    async def _do(self, wanted: dict[str, Wanted]) -> None:
        for path in list(self._links):
            if path not in wanted or not self._links[path].serves(wanted[path]):
                await self._links.pop(path).end()
        for path, order in wanted.items():
            if path not in self._links:
                self._links[path] = _Link(order)
            await self._links[path].be(order)


async def _pause(stopping: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), POLL)
    except TimeoutError:
        return


async def _main(directory: Path) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await Links(LinkFiles(directory)).run(stopping)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))

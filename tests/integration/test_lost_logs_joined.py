"""Shims in a process of their own, beside a tier whose log was lost, do nothing again that an earlier life has done."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.integration.test_lost_logs import copy
from tests.integration.tiers import Tiers

REPO = Path(__file__).parents[2]
SITE = "root.site"
BUMP = {"shim": "count", "verb": "bump"}
HOST = """
import asyncio, os, pathlib, sys
sys.path.insert(0, os.getcwd())
from services.shims.base import Answer, Verb, description_of
from services.shims.host import Host
from services.tier.run import tier
from services.tier.settings import TierSettings

class Writer:
    kind = "count"
    verbs = {"bump": Verb(False)}
    async def describe(self):
        return description_of(self.kind, self.verbs)
    async def execute(self, request):
        with open(sys.argv[2], "a") as done:
            done.write(request.id + "\\n")
        return Answer.done({})
    async def watch(self):
        for answer in ():
            yield answer

async def main():
    settings = TierSettings(path="root.site", state=pathlib.Path(sys.argv[1]), services=["shims"])
    async with tier(settings, [lambda runtime: Host(runtime, [Writer()])]):
        print("up", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def shims(state: Path, done: Path) -> AsyncIterator[None]:
    command = [sys.executable, "-c", HOST, str(state), str(done)]
    started = await asyncio.create_subprocess_exec(*command, cwd=REPO, stdout=asyncio.subprocess.PIPE)
    try:
        assert started.stdout is not None
        async with asyncio.timeout(60):
            while (line := await started.stdout.readline()) != b"up\n":
                assert line, "it ended"
        yield
    finally:
        started.kill()
        await started.wait()


async def test_what_an_earlier_life_has_done_is_not_done_again(tiers: Tiers, tmp_path: Path) -> None:
    root = await tiers.grow("root", shims=())
    site = await tiers.spawn(SITE, root, shims=["count"], services=["controller"])
    assert site.link is not None
    done = tmp_path / "done"
    done.touch()
    async with shims(site.state, done):
        first = str((await root.submit(SITE, BUMP, wait=30))["id"])
    # Received, and not carried out: so says the copy.
    second = str((await root.submit(SITE, BUMP))["id"])
    await root.becomes(second, SITE, "received")
    await site.stop()
    copy(site.state, tmp_path / "backup")
    await site.start()
    async with shims(site.state, done):
        await root.done(second)
    await site.stop()
    assert done.read_text().split() == [first, second]
    copy(tmp_path / "backup", site.state)
    await site.link.cut()
    await site.start()
    async with shims(site.state, done):
        own = str((await site.submit(SITE, BUMP))["id"])
        await site.becomes(own, SITE, "received")
        assert done.read_text().split() == [first, second], "its history is not back"
        await site.link.heal()
        await site.done(own)
        third = str((await root.submit(SITE, BUMP, wait=30))["id"])
    assert done.read_text().split() == [first, second, own, third]

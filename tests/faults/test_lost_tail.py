"""A disk that said that it had what it had not: after a power cut the end of the write-ahead log is gone, or all of it.

What is left opens. The marker outside the log, or a neighbour, shows what is missing; another life begins, what
was lost comes back from the others, nothing is done twice, and what comes after is done as ever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bus.errors import OteError
from bus.event import new_id
from bus.types import RENEWED
from services.cli.demo.audit import audit
from tests.faults import disks
from tests.faults.audit import excused, lacking, misdirected
from tests.faults.kit import Tier, Tree, tree
from tests.faults.load import bump, local
from tests.faults.logs import LogView
from tests.support import eventually

pytestmark = pytest.mark.timeout(180)

ROOT, REGION, SITE = "root", "root.a", "root.a.x"
TIERS = {
    ROOT: ["--no-shims"],
    REGION: ["--no-shims"],
    SITE: ["--tag", "site", "--shim", "local", "--shim", "counter"],
}
#: What the disk has of the write-ahead log, of which it had so much (bytes) at a moment.
LOSSES: dict[str, Callable[[Path, int], None]] = {
    "all that came after": disks.keep_of_tail,
    "all but half a frame": lambda log, size: disks.keep_of_tail(log, size + disks.FRAME // 2),
    "the whole of it": lambda log, size: disks.keep_of_tail(log, 0),
    "its file": lambda log, size: disks.lose_tail(log),
}


@pytest.fixture
async def grown(tmp_path: Path) -> AsyncIterator[Tree]:
    async with tree(tmp_path, TIERS) as found:
        yield found


async def ask(tier: Tier, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """Its answer; AssertionError while it has none, or does not know."""
    try:
        return await tier.call(name, body)
    except OteError as error:
        raise AssertionError(error) from error


async def send(tier: Tier, do: dict[str, Any]) -> str:
    id = new_id()
    await eventually(lambda: ask(tier, "submit", {"id": id, "to": SITE, "do": do}), 30, what="it is accepted")
    return id


async def ended(tier: Tier, *commands: str) -> bool:
    """Whether it knows that all of these have succeeded."""
    for command in commands:
        found = await ask(tier, "command", {"id": command})
        assert found["summary"] == {"succeeded": 1}, found
    return True


async def renewed(tier: Tier, source: str) -> list[dict[str, Any]]:
    """What it knows of the lives that this log began because something was lost."""
    return [event["data"] for event in (await ask(tier, "log", {"type": RENEWED, "source": source}))["events"]]


async def power_cut(tier: Tier) -> None:
    """It is gone with its server."""
    tier.kill_server()
    await tier.kill()


def counted(tree: Tree) -> list[str]:
    """The commands that the shim outside the log has carried out, each as often as it was."""
    return [line.split()[0] for line in tree.counters[SITE].read_text().splitlines()]


#: Those that are quick enough for every run; the others are the same in other places.
ALWAYS = [
    (ROOT, "its file"),
    (REGION, "all but half a frame"),
    (SITE, "all that came after"),
    (SITE, "the whole of it"),
]


@pytest.mark.parametrize(
    ("path", "what"),
    [
        pytest.param(path, what, marks=() if (path, what) in ALWAYS else pytest.mark.long)
        for path in TIERS
        for what in LOSSES
    ],
)
async def test_what_was_lost_with_the_end_of_the_write_ahead_log_comes_back(grown: Tree, path: str, what: str) -> None:
    root, tier = grown[ROOT], grown[path]
    sent = [await send(root, do) for n in range(5) for do in (bump(), local(f"before {n}", n))]
    await eventually(lambda: ended(root, *sent), 30, what="all is done")
    size = disks.size_of_tail(tier.log)
    own = [await send(tier, bump()) for _ in range(3)]
    await eventually(lambda: ended(tier, *own), 30, what="what it sent itself is done")
    await power_cut(tier)
    LOSSES[what](tier.log, size)
    await tier.start()
    # What the others hold of it is more than it holds.
    assert await eventually(lambda: renewed(tier, path), 30, what=f"{path} begins another life")
    await eventually(lambda: ended(root, *sent), 30, what="the root knows again what was done")
    await eventually(lambda: ended(tier, *own), 30, what=f"{path} knows again what it had sent")
    for above in (ROOT, REGION):
        if path.startswith(above):
            # Until then what must not be done twice is in doubt: it is sent to a life that is over.
            assert await eventually(partial(renewed, grown[above], path), 30, what=f"{above} hears of it")
    # And after it.
    after = [await send(root, bump()), await send(tier, bump()), await send(root, local("after", 1))]
    await eventually(lambda: ended(grown[SITE], *after), 30, what="what comes after is done")
    await eventually(lambda: ended(root, after[0], after[2]), 30, what="and reported")
    assert sorted(counted(grown)) == sorted([*sent[::2], *own, *after[:2]])
    acknowledged = {command: [SITE] for command in [*sent, *own, *after]}
    logs = {each: LogView(each, grown[each].log) for each in TIERS}

    async def kept() -> bool:
        for log in logs.values():
            log.refresh()
        report = await audit(grown.logs, acknowledged=acknowledged, settled=False)
        broken = [*filter(lambda finding: not excused(finding, logs, {path}), report.findings)]
        assert not [*lacking(logs, acknowledged), *misdirected(logs, acknowledged), *broken]
        return True

    await eventually(kept, 30, what="every promise is kept")


async def in_doubt(tier: Tier, command: str) -> bool:
    """Whether it knows that nobody knows what became of the command."""
    found = await ask(tier, "command", {"id": command})
    assert found["summary"] == {"in-doubt": 1}, found
    return True


async def test_what_was_done_before_anybody_heard_of_it_is_not_done_again(grown: Tree) -> None:
    """It is seconds ago: the marker beside the log must know of it all the same."""
    root, site = grown[ROOT], grown[SITE]
    before = await send(root, bump())
    await eventually(lambda: ended(root, before), 30, what="the first is done")
    size = disks.size_of_tail(site.log)
    site.freeze()
    command = await send(root, bump())
    for path in (ROOT, REGION):
        await grown[path].kill()
    site.thaw()
    await eventually(lambda: command in counted(grown), 30, what="it is done, and nobody hears of it")
    await power_cut(site)
    disks.keep_of_tail(site.log, size)
    for path in (ROOT, REGION, SITE):
        await grown[path].start()
    await eventually(lambda: in_doubt(root, command), 30, what="a person has to decide")
    # And after it.
    after = await send(root, bump())
    await eventually(lambda: ended(root, after), 30, what="what comes after is done")
    assert counted(grown) == [before, command, after]

"""Several processes use one log at once."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from pathlib import Path

from bus.event import Event, new_id
from store.api import Stored
from store.sql import SqlLog, open_log
from store.verify import verify
from tests.unit.store.samples import Source, sample, submitted

ROOT = Path(__file__).parents[2]


async def writer(place: Path, name: str, count: int, lanes: int = 8) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "tests.integration.store_writer", str(place), name, str(count), str(lanes))
    return await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def lines(process: asyncio.subprocess.Process) -> list[list[str]]:
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return [line.split() for line in out.decode().splitlines()]


def log_at(place: Path) -> SqlLog[Event]:
    return open_log(place, source="root", decode=Event.decode)


async def test_two_writers_lose_and_double_nothing(place: str) -> None:
    count = 300
    processes = [await writer(place, name, count) for name in ("one", "two")]
    told = [line for process in processes for line in await lines(process)]
    lives = {line[1] for line in told if line[0] == "open"}
    acknowledged = [line for line in told if line[0] != "open"]
    assert len(lives) == 1
    assert sorted(int(seq) for _, seq, *_ in acknowledged) == list(range(1, 2 * count + 1))
    numbers: dict[str, list[int]] = defaultdict(list)
    for _, _, target, number in acknowledged:
        numbers[target].append(int(number))
    assert {target: sorted(found) for target, found in numbers.items()} == {
        target: list(range(1, 201)) for target in ("root.a", "root.b", "root.c")
    }
    async with log_at(place) as log:
        events = await log.read(lambda r: r.events(limit=10_000))
        assert {stored.event.id: str(stored.event.seq) for stored in events} == {
            id: seq for id, seq, *_ in acknowledged
        }
        assert set((await log.read(lambda r: r.mailboxes("root"))).values()) == {200}
        assert (await log.read(lambda r: r.counts()))["commands"] == 2 * count
    assert verify(place, Event.decode) == []


async def test_many_open_a_new_file_at_once_and_share_its_first_life(place: str) -> None:
    processes = [await writer(place, f"p{n}", 3) for n in range(4)]
    told = [line for process in processes for line in await lines(process)]
    assert len({line[1] for line in told if line[0] == "open"}) == 1
    assert sorted(int(line[1]) for line in told if line[0] != "open") == list(range(1, 13))


async def test_one_process_follows_what_another_writes(place: str) -> None:
    async with log_at(place) as log:
        seen: list[Stored[Event]] = []

        async def follow() -> None:
            async for batch in log.follow():
                seen.extend(batch)
                if len(seen) == 60:
                    return

        following = asyncio.create_task(follow())
        process = await writer(place, "other", 50)
        for n in range(10):
            await log.write(lambda tx, n=n: tx.append(sample(n)))
        await lines(process)
        await asyncio.wait_for(following, 30)
    assert [stored.row for stored in seen] == list(range(1, 61))
    assert [stored.event.seq for stored in seen] == list(range(1, 61))


async def test_what_one_process_knows_is_not_believed_after_another_wrote(place: str) -> None:
    """Positions that the writer remembers are dropped when the file has changed under it."""
    site = Source("root.a")
    events = site.samples(6)
    async with log_at(place) as one, log_at(place) as two:
        logs = (one, two)
        for n, event in enumerate([events[1], events[0], events[3], events[5], events[2], events[4]]):
            done = await logs[n % 2].write(lambda tx, event=event: tx.record([event]))
            assert done.new == [event]
            own = await logs[n % 2].write(lambda tx: tx.append(submitted(new_id(), [("root.a", tx.number("root.a"))])))
            assert own.seq == own.to[0].number == n + 1
        again = await two.write(lambda tx: tx.record(events))
        assert (again.new, again.doubles) == ([], 6)
        epoch = await one.begin_life()
        assert (await two.write(lambda tx: tx.append(sample()))).epoch == epoch == two.epoch


async def test_what_one_process_wrote_another_finds_in_its_projections(place: str) -> None:
    """Projections may follow a commit a little later; whoever reads them sees what they should tell."""
    async with log_at(place) as one, log_at(place) as two:
        for n in range(20):
            id = f"c{n}"
            await one.write(lambda tx, id=id: tx.append(submitted(id, [("root.a", tx.number("root.a"))])))
            assert await two.read(lambda r, id=id: r.command(id)) is not None
            assert len(await two.read(lambda r, id=id: r.targets(id))) == 1
        for n in range(20, 40):
            id = f"c{n}"
            await one.write(lambda tx, id=id: tx.append(submitted(id, [("root.a", tx.number("root.a"))])))
            assert await two.write(lambda tx, id=id: tx.command(id)) is not None

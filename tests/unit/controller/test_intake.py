"""Backlogs come in slice by slice, one page at a time, and those who ship them take turns."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from services.controller import intake
from services.controller.intake import SLICE, Intake


def _page(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


class Desk:
    """Notes the slices as they come, and lets each go on when the test says so."""

    def __init__(self) -> None:
        self.intake = Intake()
        self.begun: list[tuple[str, int]] = []
        self.taken: list[bytes] = []
        self._go = asyncio.Semaphore(0)

    def ship(self, asker: str, count: int) -> asyncio.Task[None]:
        return asyncio.create_task(self.intake.take(asker, _page(count), partial(self._work, asker)))

    async def _work(self, asker: str, bodies: list[bytes]) -> None:
        self.begun.append((asker, len(bodies)))
        self.taken += bodies
        await self._go.acquire()

    def go_on(self, slices: int = 1000) -> None:
        for _ in range(slices):
            self._go.release()


async def test_a_page_is_taken_in_slices_in_its_order() -> None:
    desk = Desk()
    desk.go_on()
    await desk.ship("a", 2 * SLICE + 1)
    assert desk.begun == [("a", SLICE), ("a", SLICE), ("a", 1)]
    assert desk.taken == _page(2 * SLICE + 1)


async def test_a_page_of_nothing_is_no_work() -> None:
    desk = Desk()
    await desk.ship("a", 0)
    assert not desk.begun


async def test_one_page_at_a_time_and_those_who_ship_take_turns() -> None:
    desk = Desk()
    pages = [desk.ship("a", 1), desk.ship("a", 2), desk.ship("a", 3), desk.ship("b", 4)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert desk.begun == [("a", 1)]
    desk.go_on()
    await asyncio.gather(*pages)
    assert desk.begun == [("a", 1), ("a", 2), ("b", 4), ("a", 3)]


async def test_what_fails_or_is_given_up_holds_up_no_other() -> None:
    desk = Desk()

    async def fail(bodies: list[bytes]) -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        await desk.intake.take("a", _page(1), fail)
    works, waits, gone, last = desk.ship("a", 1), desk.ship("b", 2), desk.ship("c", 3), desk.ship("d", 4)
    await asyncio.sleep(0)
    works.cancel()
    gone.cancel()
    desk.go_on()
    await asyncio.gather(waits, last)
    assert [each for each in desk.begun if each[0] != "a"] == [("b", 2), ("d", 4)]


async def test_a_backlog_rests_between_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)

    monkeypatch.setattr(intake.asyncio, "sleep", nap)
    await Intake().take("a", _page(2 * SLICE), nap_free)
    assert len(naps) == 2
    assert all(0 < each <= intake.MOST_REST for each in naps)


async def nap_free(bodies: list[bytes]) -> None:
    """Work that takes no time to speak of."""

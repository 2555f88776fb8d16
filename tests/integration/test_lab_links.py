"""Links of a lab are cut and healed, and the tiers notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.client import Bus
from bus.errors import BadRequest, NotFound, Unavailable
from services.cli.lab.lab import Lab
from tests.integration.lab_kit import small_lab
from tests.support import eventually


async def states(bus: Bus) -> dict[str, str]:
    clusters = (await bus.call("ote.local.clusters", {}, timeout=5))["clusters"]
    return {cluster["path"]: cluster["state"] for cluster in clusters}


async def seen(bus: Bus, path: str, state: str) -> None:
    async def is_so() -> bool:
        return (await states(bus))[path] == state

    await eventually(is_so, 15, what=f"{path} is {state}")


@pytest.mark.parametrize("hang", [False, True])
async def test_a_cut_link_is_noticed_and_heals(tmp_path: Path, hang: bool) -> None:
    async with small_lab(tmp_path) as lab:
        await lab.up()
        async with await Bus.connect(lab.info("root").nats, name="test") as bus:
            off = ["root.east", "root.east.site1", "root.east.site2"]
            assert await lab.cut("root.east", hang=hang) == off
            assert lab.wiring.states()["root.east"] == ("hang" if hang else "cut")
            for path in off:
                await seen(bus, path, "offline")
            assert await lab.up() == [], "what is cut on purpose holds up nobody"

            assert await lab.heal("root.east") == off
            assert lab.wiring.states()["root.east"] == "up"
            for path in off:
                await seen(bus, path, "online")


async def test_only_links_that_there_are_can_be_cut(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    with pytest.raises(BadRequest, match="root: it has no link"):
        await lab.cut("root")
    with pytest.raises(NotFound, match="no tier root") as raised:
        await lab.cut("root.north")
    assert raised.value.hint is not None and "root.east.site1" in raised.value.hint


async def test_links_outlive_a_killed_program(tmp_path: Path) -> None:
    async with small_lab(tmp_path) as lab:
        await lab.up()
        await lab.cut("root.east.site2")
        process = lab.wiring.process()
        assert process is not None
        await process.end(0)
        with pytest.raises(Unavailable):
            await lab.heal("root.east.site2")
        await lab.up()
        assert lab.wiring.states() == {"root.east": "up", "root.east.site1": "up", "root.east.site2": "cut"}
        await lab.heal("root.east.site2")
        async with await Bus.connect(lab.info("root").nats, name="test") as bus:
            await seen(bus, "root.east.site2", "online")

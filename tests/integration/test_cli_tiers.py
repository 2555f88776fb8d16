"""`ote` against real tiers: the whole way from the command line to a site's cluster and back."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.integration.cli import Ote
from tests.integration.tiers import LocalTier, Tiers

EAST, WEST = "root.east", "root.west"
SHOP = """
{apiVersion: v1, kind: ConfigMap, metadata: {name: shop}, data: {open: 'yes'}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: stock}, data: {apples: '3'}}
"""


def result(line: str) -> str:
    """The last column of a line of targets."""
    return re.split(r"\s{3,}", line)[-1]


@pytest.fixture
async def root(tiers: Tiers) -> LocalTier:
    root = await tiers.grow("root", shims=())
    await asyncio.gather(
        tiers.grow(EAST, root, tags=["camera"]),
        tiers.grow(WEST, root, tags=["camera", "zone=eu"]),
    )
    return root


@pytest.fixture
def ote(root: LocalTier, tmp_path: Path) -> Ote:
    (tmp_path / "shop.yaml").write_text(SHOP)
    return Ote(tmp_path, root.info["nats"])


async def test_objects_come_and_go(ote: Ote) -> None:
    tree = await ote("get", "clusters", "--tree")
    assert tree.lines == ["root", "├─ east  camera", "└─ west  camera zone=eu"]

    applied = await ote("apply", "-f", "shop.yaml", "--on", "tag:camera", "--wait")
    assert (applied.code, applied.lines[0].split("to ")[1]) == (0, f"2 clusters: {EAST}, {WEST}")
    assert [result(line) for line in applied.lines[2:]] == ["2 created", "2 created"]

    listed = await ote("run", "--on", EAST, "list", "kind=ConfigMap", "-o", "json")
    items = listed.json()["targets"][EAST]["result"]["items"]
    assert [item["metadata"]["name"] for item in items] == ["shop", "stock"]

    gone = await ote("delete", "ConfigMap", "shop", "--on", EAST, "--wait")
    assert (gone.code, result(gone.lines[-1])) == (0, "ConfigMap/shop deleted")
    again = await ote("delete", "-f", "shop.yaml", "--on", EAST, "--wait")
    assert (again.code, "not found" in again.lines[-1].lower()) == (1, True)
    ignored = await ote("delete", "-f", "shop.yaml", "--on", EAST, "--ignore-not-found", "--wait")
    assert (ignored.code, result(ignored.lines[-1])) == (0, "1 absent, 1 deleted")

    events = await ote("log", "--type", "ote.command.succeeded.v1", "--source", EAST, "-o", "json")
    assert len(events.lines) == 4


async def test_a_site_that_is_cut_off(ote: Ote, root: LocalTier, tiers: Tiers) -> None:
    await tiers[WEST].link.cut()
    await root.sees(WEST, "offline")
    sent = await ote("apply", "-f", "shop.yaml", "--on", "tag:camera", "--wait=1s")
    assert sent.code == 5
    assert f"waiting for {WEST} (offline " in sent.err

    [pending] = (await ote("get", "commands", "--pending", "-o", "name")).lines
    status = await ote("status")
    assert any(line.split()[:2] == [pending, WEST] for line in status.lines)
    assert any(line.split()[:1] == [WEST] for line in status.lines)

    watching = asyncio.create_task(ote("status", pending, "--watch"))
    await tiers[WEST].link.heal()
    watched = await watching
    assert watched.code == 0
    assert [line.split()[:2] for line in watched.lines[-2:]] == [[EAST, "succeeded"], [WEST, "succeeded"]]
    assert (await ote("cancel", pending)).code == 6


async def test_a_cancel_comes_before_the_link_does(ote: Ote, root: LocalTier, tiers: Tiers) -> None:
    await tiers[WEST].link.cut()
    await root.sees(WEST, "offline")
    [id] = (await ote("apply", "-f", "shop.yaml", "--on", WEST, "-o", "name")).lines
    assert (await ote("cancel", id)).code == 0
    await tiers[WEST].link.heal()
    watched = await ote("status", id, "--watch", "-o", "json")
    assert (watched.code, watched.json()["targets"][WEST]["state"]) == (1, "cancelled")
    assert (await ote("resolve", id, "--target", WEST, "--as", "done")).code == 6


async def test_what_is_asked_for_wrongly(ote: Ote) -> None:
    for words, code, said in [
        (("apply", "-f", "shop.yaml", "--on", "tag:camra"), (2, 3), "camra"),
        (("get", "clusters", "tag:("), (2,), "expected a tag"),
        (("get", "clusters", "root.east.nowhere"), (2, 3), "nowhere"),
        (("run", "--on", "root", "list"), (2,), "shim"),
        (("run", "--on", EAST, "fly"), (1,), ""),
        (("status", "01939a3c-0000-7000-8000-000000000001"), (3,), "no command"),
        (("status", "mine"), (2,), "UUID"),
    ]:
        ran = await ote(*words)
        assert (ran.code in code, said in ran.err) == (True, True), (words, ran)
        assert "Traceback" not in ran.err


async def test_the_log_as_it_was(ote: Ote) -> None:
    sent = [(await ote("run", "--on", EAST, "list", "kind=ConfigMap", "-o", "json")).json()["id"] for _ in range(2)]
    submitted = ("log", "--type", "ote.command.submitted.v1", "-o", "json")
    first, second = [json.loads(line) for line in (await ote(*submitted)).lines]
    assert [event["data"]["command"] for event in (first, second)] == sent
    for words, expected in (
        (("--at", first["time"]), [first]),
        (("--at", second["time"]), [first, second]),
        (("--since", second["time"], "--until", second["time"]), [second]),
    ):
        assert [json.loads(line) for line in (await ote(*submitted, *words)).lines] == expected


async def test_the_end_of_the_log_may_be_longer_than_a_page(ote: Ote, root: LocalTier) -> None:
    order = {"verb": "list", "args": {"kind": "ConfigMap"}}
    sent = await asyncio.gather(*(root.submit(EAST, order) for _ in range(230)))
    words = ("log", "--type", "ote.command.submitted.v1")
    every = (await ote(*words, "--after", "0", "-o", "name")).lines
    assert len(every) == len(sent)
    for limit in (1, 199, 200, 201, 230, 1000):
        assert (await ote(*words, "--limit", str(limit), "-o", "name")).lines == every[-limit:]
    told = await ote(*words, "--at", "0s", "--limit", "220", "-o", "json")
    assert [json.loads(line)["id"] for line in told.lines] == every[-220:]


async def test_large_events_come_fewer_at_a_time(ote: Ote, root: LocalTier) -> None:
    large = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"x": "y" * 90_000}}] * 8
    sent = [await root.submit(EAST, {"verb": "apply", "args": {"manifest": one}}) for one in large]
    words = ("log", "--type", "ote.command.submitted.v1", "-o", "json")
    for more in (("--after", "0"), ("--limit", "8")):
        told = await ote(*words, *more)
        assert [json.loads(line)["data"]["command"] for line in told.lines] == [one["id"] for one in sent], told.err

"""What every tier knows of the objects below it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bus import types, wire
from bus.client import Message
from bus.errors import BadRequest
from bus.event import now
from services.shims import observer
from services.shims.local import LocalShim
from store.api import ObjectRow
from tests.integration.cli import Ote
from tests.integration.test_tier_lives import restart_without_log
from tests.integration.tiers import LocalTier, Tier, Tiers, config
from tests.support import eventually

EAST, SITE = "root.east", "root.east.site1"


@pytest.fixture
async def root(tiers: Tiers) -> LocalTier:
    root = await tiers.grow("root", shims=())
    east = await tiers.grow(EAST, root, shims=())
    await tiers.grow(SITE, east)
    return root


def local(tiers: Tiers, path: str = SITE) -> LocalTier:
    tier = tiers[path]
    assert isinstance(tier, LocalTier)
    return tier


async def objects(tier: LocalTier, cluster: str = SITE, **filters: Any) -> list[ObjectRow]:
    return await tier.runtime.log.read(lambda reader: reader.observed(cluster, kind="ConfigMap", **filters))


async def knows(tier: LocalTier, names: Mapping[str, Any], cluster: str = SITE) -> list[ObjectRow]:
    """The ConfigMaps of the cluster once their names and data are these."""

    async def there() -> list[ObjectRow]:
        rows = await objects(tier, cluster)
        assert {row.name: row.object.get("data") for row in rows} == names
        return rows or [*rows, None]  # type: ignore[list-item]

    return await eventually(there, what=f"{tier.path} knows {sorted(names)}")


async def told(tier: Tier) -> list[list[Mapping[str, Any]]]:
    """The changes of each event that has some, as this tier holds them, in order."""
    return [event["data"]["changes"] for event in await events(tier)]


async def events(tier: Tier) -> list[Any]:
    """Those about ConfigMaps: a cluster has nodes, too."""
    found = await tier.log(type=types.OBSERVED)
    return [event for event in found if any(_is_config(change) for change in event["data"]["changes"])]


def _is_config(change: Mapping[str, Any]) -> bool:
    return bool(change["object"]["kind"] == "ConfigMap")


async def run(tier: Tier, verb: str, *manifests: Any, to: str = SITE, **more: Any) -> str:
    answer = await tier.submit(to, {"verb": verb, "args": {"manifests": list(manifests)}, **more}, wait=30)
    assert answer["summary"] == {"succeeded": 1}, answer
    return str(answer["id"])


def manifest(name: str, **data: str) -> Any:
    return config(name, **data)["args"]["manifest"]


async def test_every_tier_knows_what_a_command_made(root: LocalTier, tiers: Tiers) -> None:
    id = await run(root, "apply", manifest("shop", a="1"))
    for path in ("root", EAST, SITE):
        [row] = await knows(local(tiers, path), {"shop": {"a": "1"}})
        assert (row.kind, row.namespace, row.shim, row.command) == ("ConfigMap", "default", "local", id)
        assert "managedFields" not in row.object["metadata"]
        assert "uid" in row.object["metadata"]
    [[change]] = await told(root)
    assert "prior" not in change
    # Repair has nothing to bring: one command, one event more.
    await run(root, "apply", manifest("shop", a="1"))
    again = await run(root, "apply", manifest("shop", a="2"))
    [row] = await knows(root, {"shop": {"a": "2"}})
    assert row.command == again
    _, [second] = await told(root)
    assert second["prior"] == (await events(root))[0]["id"]
    gone = await run(root, "delete", manifest("shop"))
    await eventually(lambda: _is_gone(root))
    assert await objects(root) == []
    [row] = await objects(root, gone=True)
    assert (row.gone, row.command, row.name) == (True, gone, "shop")


async def _is_gone(tier: LocalTier) -> bool:
    return [row.gone for row in await objects(tier, gone=True)] == [True]


async def test_commands_are_told_apart_and_travel_together(
    root: LocalTier, tiers: Tiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [await run(root, "apply", manifest("shop", a=str(number))) for number in range(6)]
    await knows(root, {"shop": {"a": "5"}})
    found = await told(root)
    assert [change["command"] for changes in found for change in changes] == ids
    assert len(found) < len(ids)


async def test_a_site_that_is_cut_off_tells_what_it_did_when_it_is_back(root: LocalTier, tiers: Tiers) -> None:
    site = tiers[SITE]
    await site.link.cut()
    await root.sees(SITE, "offline")
    await run(site, "apply", manifest("alone", a="1"))
    await knows(local(tiers), {"alone": {"a": "1"}})
    assert await objects(root) == []
    await site.link.heal()
    await knows(root, {"alone": {"a": "1"}})


async def test_a_restart_tells_only_what_differs(root: LocalTier, tiers: Tiers) -> None:
    site = tiers[SITE]
    await run(root, "apply", *[manifest(f"c{number}") for number in range(5)])
    await knows(root, {f"c{number}": {} for number in range(5)})
    before = await told(root)
    await site.stop()
    await site.start()
    id = await run(root, "apply", manifest("c1", a="1"))
    await eventually(lambda: _count(root, len(before) + 1))
    [change] = (await told(root))[-1]
    assert (change["object"]["metadata"]["name"], change["command"]) == ("c1", id)


async def _count(tier: Tier, count: int) -> bool:
    return len(await told(tier)) == count


async def test_what_was_not_told_before_the_end_is_told_after_it_with_its_cause(
    root: LocalTier, tiers: Tiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tiers[SITE]
    await site.stop()
    monkeypatch.setattr(observer, "DELAY", 1000)
    await site.start()
    ids = [await run(root, "apply", manifest(name)) for name in ("a", "b")]
    await site.stop()
    assert await objects(root) == []
    monkeypatch.undo()
    await site.start()
    rows = await knows(root, {"a": {}, "b": {}})
    assert [row.command for row in rows] == ids


async def test_a_log_that_was_lost_has_its_objects_again(root: LocalTier, tiers: Tiers) -> None:
    await directly(tiers, "old")
    await run(root, "apply", manifest("sent"))
    await knows(root, {"old": {}, "sent": {}})
    await restart_without_log(tiers[SITE])
    for path in ("root", EAST, SITE):
        # They are made again from what was told of them.
        await knows(local(tiers, path), {"old": {}, "sent": {}})


async def test_large_objects_travel_by_name_and_many_in_several_events(root: LocalTier, tiers: Tiers) -> None:
    await run(root, "apply", manifest("large", text="x" * 300_000))
    [row] = await eventually(lambda: objects(root))
    assert row.object["truncated"] > 300_000
    assert row.object["metadata"] == {"name": "large", "namespace": "default"}
    names = [f"c{number}" for number in range(30)]
    await run(root, "apply", *[manifest(name, text="x" * 5_000) for name in names])
    await knows(root, {name: {"text": "x" * 5_000} for name in names} | {"large": None})
    found = await events(root)
    assert len(found) >= 5
    assert all(len(json.dumps(event)) < 64_000 for event in found)


async def test_objects_of_a_shim_on_the_bus_are_asked_for(tiers: Tiers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observer, "AGAIN", 0.3)
    root = await tiers.grow("root", shims=())
    site = await tiers.grow("root.site", root, shims=("vm",))
    cluster: dict[str, Any] = {"there": manifest("there")}

    def execute(message: Message) -> None:
        asked = json.loads(message.data)
        one = asked["args"]["manifests"][0]
        cluster[one["metadata"]["name"]] = one
        message.respond(b'{"ok": true}')

    def watch(message: Message) -> None:
        for object in cluster.values():
            message.respond(wire.dump_body({"type": "applied", "object": object}))
        message.respond(b"")

    await site.bus.subscribe("ote.local.shim.vm.execute", execute)
    await site.bus.subscribe("ote.local.shim.vm.watch", watch)
    await site.bus.flush()
    await knows(root, {"there": {}}, "root.site")
    id = await run(root, "apply", manifest("new", a="1"), to="root.site")
    rows = await knows(root, {"there": {}, "new": {"a": "1"}}, "root.site")
    assert [(row.name, row.shim, row.command) for row in rows] == [("new", "vm", id), ("there", "vm", None)]
    del cluster["there"]
    await knows(root, {"new": {"a": "1"}}, "root.site")
    count = len(await told(root))
    cluster["new"]["metadata"]["resourceVersion"] = "7"
    cluster["last"] = manifest("last")
    await knows(root, {"new": {"a": "1"}, "last": {}}, "root.site")
    [[change]] = (await told(root))[count:]
    assert change["object"]["metadata"]["name"] == "last"


async def test_what_others_than_a_command_change_is_told_without_a_cause(root: LocalTier, tiers: Tiers) -> None:
    await directly(tiers, "direct", a="1")
    [row] = await knows(root, {"direct": {"a": "1"}})
    assert row.command is None


async def directly(tiers: Tiers, name: str, **data: str) -> None:
    """Applies a ConfigMap at the site, past all commands."""
    body = {"id": "01a20751-96de-74de-9eaa-91fdf765ff6c", "attempt": 1, **config(name, **data)}
    assert (await tiers[SITE].bus.call(f"ote.local.shim.{LocalShim.kind}", body, timeout=30))["ok"]


async def test_objects_are_listed_also_of_a_cluster_that_is_away(root: LocalTier, tiers: Tiers, tmp_path: Path) -> None:
    ote = Ote(tmp_path, str(root.info["nats"]))
    await run(root, "apply", manifest("shop", a="1"), manifest("bag"))
    await knows(root, {"shop": {"a": "1"}, "bag": {}})
    then = now()
    await tiers[SITE].link.cut()
    await root.sees(SITE, "offline")
    listed = await ote("get", "objects", "--kind", "ConfigMap")
    assert listed.lines[0].split() == ["CLUSTER", "KIND", "NAMESPACE", "NAME", "STATUS", "SINCE", "KNOWN"]
    assert [line.split()[:4] for line in listed.lines[1:]] == [
        [SITE, "ConfigMap", "default", name] for name in ("bag", "shop")
    ]
    assert all("offline" in line for line in listed.lines[1:])
    [row] = (await ote("get", "objects", "--on", "site1", "--name", "shop", "-o", "json")).json()["objects"]
    assert (row["object"]["data"], row["state"]) == ({"a": "1"}, "offline")
    assert row["seen"] is not None
    await tiers[SITE].link.heal()
    await root.sees(SITE, "online")
    await run(root, "delete", manifest("shop"))
    await knows(root, {"bag": {}})
    assert (await ote("get", "objects", "--kind", "ConfigMap", "-o", "name")).lines == [f"{SITE}/ConfigMap/default/bag"]
    was = await ote("get", "objects", "-n", "default", "--at", then, "-o", "name")
    assert was.lines == [f"{SITE}/ConfigMap/default/{name}" for name in ("bag", "shop")]
    early = await ote("get", "objects", "--at", "2020-01-01T00:00:00Z")
    assert (early.code, "reaches back to" in early.err) == (3, True)
    nobody = await ote("get", "objects", "--on", "site9")
    assert nobody.code == 3


async def test_pages_of_objects_join_without_a_gap(root: LocalTier, tiers: Tiers) -> None:
    await tiers.grow("root.west", root)
    names = [f"c{number:02}" for number in range(7)]
    for path in (SITE, "root.west"):
        await run(root, "apply", *map(manifest, names), to=path)
        await knows(root, {name: {} for name in names}, path)
    found: list[tuple[str, str]] = []
    after: dict[str, Any] = {}
    while True:
        page = await root.ask("objects", {"limit": 3, "kind": "ConfigMap", **after})
        assert len(page["objects"]) <= 3
        found += [(row["cluster"], row["name"]) for row in page["objects"]]
        if "next" not in page:
            break
        after = {"after": page["next"]}
    assert found == [(path, name) for path in (SITE, "root.west") for name in names]
    for bad in ("x", "[1]", '["a","b","c","d","e",6]'):
        with pytest.raises(BadRequest, match="next"):
            await root.ask("objects", {"after": bad})

"""The local shim on the real log: its objects outlive the process, and commands overlap safely."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from bus.event import Event, new_id
from services.shims.base import Answer, Request
from services.shims.local import LocalShim
from services.shims.served import in_log
from store.api import Log
from store.sql import open_log

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "web", "image": "shop/web:1"}]}}},
}


async def do(log: Log[Event], verb: str, args: dict[str, Any]) -> Any:
    answer: Answer = await in_log(LocalShim(log), log)(Request(new_id(), 1, verb, args))
    assert answer.ok, answer.error
    return answer.result


async def test_objects_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with open_log(path, source="root.site1", decode=Event.decode) as log:
        await do(log, "apply", DEPLOYMENT)
        await do(log, "apply", DEPLOYMENT | {"metadata": {"name": "gone"}})
        await do(log, "delete", {"kind": "Deployment", "name": "gone"})
        before = await do(log, "get", {"kind": "Deployment", "name": "web"})
    async with open_log(path, source="root.site1", decode=Event.decode) as log:
        assert await do(log, "get", {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}) == before
        assert (await do(log, "apply", DEPLOYMENT))["objects"][0]["result"] == "unchanged"
        listed = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [before]}
        assert await do(log, "list", {"kind": "Deployment"}) == listed


async def begin(log: Log[Event], *nodes: str) -> int:
    """Starts the cluster, as its tier does; says how much was written."""
    shim = LocalShim(log, nodes)
    return await log.write(lambda tx: len([tx.append(draft) for draft in shim.begin_in(tx)]))


async def test_pods_outlive_the_process_and_follow_its_nodes(tmp_path: Path) -> None:
    path = tmp_path / "log.db"

    async def nodes_of_pods(log: Log[Event]) -> list[str]:
        pods = (await do(log, "list", {"kind": "Pod"}))["items"]
        return sorted(pod["spec"].get("nodeName", "none") for pod in pods)

    async with open_log(path, source="root.site1", decode=Event.decode) as log:
        await do(log, "apply", DEPLOYMENT)
        assert await nodes_of_pods(log) == ["none", "none"]
        # Two nodes, two pods that run, what counts them, and four Events of each pod.
        assert await begin(log, "2*pods=1") == 14
        before = await do(log, "list", {})
    async with open_log(path, source="root.site1", decode=Event.decode) as log:
        assert await begin(log, "2*pods=1") == 0
        assert await do(log, "list", {}) == before
        await begin(log, "pods=5")
        assert await nodes_of_pods(log) == ["node-1", "node-1"]
        await do(log, "delete", {"kind": "Deployment", "name": "web"})
        assert [one["kind"] for one in (await do(log, "list", {}))["items"]] == ["Node"]


async def test_commands_at_once_lose_nothing(tmp_path: Path) -> None:
    async with open_log(tmp_path / "log.db", source="root.site1", decode=Event.decode) as log:

        async def set_label(n: int) -> None:
            manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {f"k{n}": str(n)}}
            await do(log, "apply", {"manifest": manifest, "fieldManager": f"m{n}"})

        await asyncio.gather(*(set_label(n) for n in range(50)))
        found = await do(log, "get", {"kind": "ConfigMap", "name": "c"})
        assert found["data"] == {f"k{n}": str(n) for n in range(50)}
        events = await log.read(lambda reader: reader.events(limit=1000))
        versions = [int(stored.event.data["object"]["metadata"]["resourceVersion"]) for stored in events]
        assert versions == sorted(set(versions)) and len(versions) == 50

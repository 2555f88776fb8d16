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
        assert await do(log, "list", {}) == {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [before]}


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

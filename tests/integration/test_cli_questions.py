"""`ote get`, `status`, `log`, `cancel`, `resolve`: what is asked, and how the answers look."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bus.errors import BadRequest, NotFound, Refused
from bus.event import Draft, now
from tests.integration.cli import Ote, ScriptedApi
from tests.support import NatsServer

ID = "01939a3c-0000-7000-8000-000000000001"
OTHER = "01939a3c-0000-7000-8000-000000000002"


def cluster(path: str, **other: Any) -> dict[str, Any]:
    parent = path.rpartition(".")[0] or None
    row = {"path": path, "name": path.rpartition(".")[2], "tags": ["camera"], "state": "online", "parent": parent}
    row |= {"attached_to": parent, "shims": ["local"], "lag": {"events": 0, "seconds": 0.0}, "last_seen": now()}
    return row | other


def command(states: dict[str, str], **other: Any) -> dict[str, Any]:
    targets = {
        path: {"state": state, "number": 1, "receipts": {"accepted": now(), "stored": {}}}
        for path, state in states.items()
    }
    summary = {state: list(states.values()).count(state) for state in states.values()}
    head = {"id": ID, "to": "tag:camera", "do": {"verb": "list", "args": {}}, "actor": None, "submitted": now()}
    return {**head, "targets": targets, "summary": summary, **other}


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture
async def ote(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Ote]:
    yield Ote(tmp_path, nats_server.url)


async def test_clusters_of_all_pages_in_every_form(api: ScriptedApi, ote: Ote, nats_server: NatsServer) -> None:
    paths = ["root", "root.east", "root.east.site1", "root.west"]

    def clusters(body: dict[str, Any]) -> dict[str, Any]:
        rest = [path for path in paths if path > body.get("after", "")]
        return {"clusters": [cluster(path) for path in rest[:3]]} | ({"next": rest[2]} if len(rest) > 3 else {})

    api.endpoints["clusters"] = clusters
    async with api.serving(nats_server.url):
        table = await ote("get", "clusters")
        assert [line.split()[0] for line in table.lines] == ["PATH", *paths]
        assert (await ote("get", "clusters", "-o", "name")).lines == paths
        for form in ("json", "yaml"):
            ran = await ote("get", "clusters", "tag:camera", "-o", form)
            rows = getattr(ran, form)()["clusters"]
            assert [row["path"] for row in rows] == paths
        tree = await ote("get", "clusters", "--tree")
        assert [line.split("  ")[0].rstrip() for line in tree.lines][-1] == "└─ west"
    assert [body.get("select") for body in api.of("clusters")][-3:] == ["tag:camera", None, None]
    assert (table.code, table.err) == (0, "")


async def test_lists_are_cut_and_tell_where_they_go_on(api: ScriptedApi, ote: Ote, nats_server: NatsServer) -> None:
    paths = [f"root.site{number:03}" for number in range(450)]

    def clusters(body: dict[str, Any]) -> dict[str, Any]:
        rest = [path for path in paths if path > body.get("after", "")]
        page = rest[: body["limit"]]
        return {"clusters": [cluster(path) for path in page]} | ({"next": page[-1]} if len(rest) > len(page) else {})

    api.endpoints["clusters"] = clusters
    async with api.serving(nats_server.url):
        first = (await ote("get", "clusters", "--limit", "300", "-o", "json")).json()
        assert ([row["path"] for row in first["clusters"]], first["next"]) == (paths[:300], paths[299])
        rest = await ote("get", "clusters", "--limit", "300", "--after", first["next"], "-o", "yaml")
        assert [row["path"] for row in rest.yaml()["clusters"]] == paths[300:]
        assert "next" not in rest.yaml()
        people = await ote("get", "clusters", "--limit", "2")
        assert (len(people.lines), people.err) == (3, f"there are more clusters: --after {paths[1]}\n")
        whole = await ote("get", "clusters", "-o", "name")
        assert (whole.lines, whole.err) == (paths, "")
        assert (await ote("get", "clusters", "--limit", "0")).code == 2
    assert [body["limit"] for body in api.of("clusters")] == [200, 100, 200, 2, 200, 200, 200]


async def test_errors_of_the_tier_are_lines_and_codes(api: ScriptedApi, ote: Ote, nats_server: NatsServer) -> None:
    def clusters(body: dict[str, Any]) -> dict[str, Any]:
        raise BadRequest("no cluster is called site9", field="select", hint="did you mean site1?")

    def missing(body: dict[str, Any]) -> dict[str, Any]:
        raise NotFound("no such command")

    def refused(body: dict[str, Any]) -> dict[str, Any]:
        raise Refused("it was delivered already")

    api.endpoints |= {"clusters": clusters, "command": missing, "cancel": refused}
    async with api.serving(nats_server.url):
        ran = await ote("get", "clusters", "site9")
        assert (ran.code, ran.out) == (2, "")
        assert ran.err == "error: no cluster is called site9 (select)\nhint: did you mean site1?\n"
        assert (await ote("status", ID)).code == 3
        assert (await ote("cancel", ID)).code == 6


async def test_nobody_there(ote: Ote, nats_server: NatsServer) -> None:
    ran = await ote("get", "clusters")
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith("error: a NATS server is there, but no tier on it\nhint: ")
    nats_server.stop()
    ran = await ote("get", "clusters")
    assert ran.code == 4
    assert "no NATS server" in ran.err and "Traceback" not in ran.err


async def test_commands_and_what_is_asked(api: ScriptedApi, ote: Ote, nats_server: NatsServer) -> None:
    def commands(body: dict[str, Any]) -> dict[str, Any]:
        row = {
            "id": ID,
            "to": "tag:camera",
            "do": {"verb": "list", "args": {}},
            "actor": "ada@desk",
            "submitted": now(),
        }
        return {"commands": [row | {"count": 2, "summary": {"succeeded": 1, "accepted": 1}}]}

    api.endpoints["commands"] = commands
    async with api.serving(nats_server.url):
        ran = await ote("get", "commands", "--pending", "--on", "tag:camera")
        words = ran.lines[1].split()
        assert (words[0], words[2:]) == (ID, ["list", "tag:camera", "1", "accepted,", "1", "succeeded"])
        assert (await ote("get", "commands", "-o", "name")).lines == [ID]
        assert (await ote("get", "commands", "--limit", "0")).code == 2
    first, second = api.of("commands")
    assert (first["pending"], first["on"]) == (True, "tag:camera")
    assert "pending" not in second and "on" not in second


async def test_an_empty_list_says_so_beside_the_answer(api: ScriptedApi, ote: Ote, nats_server: NatsServer) -> None:
    api.endpoints["commands"] = lambda body: {"commands": []}
    async with api.serving(nats_server.url):
        ran = await ote("get", "commands")
        assert (ran.code, ran.out, ran.err) == (0, "", "no commands\n")
        assert (await ote("get", "commands", "-o", "json")).json() == {"commands": []}


async def test_status_of_a_command_with_all_its_pages(api: ScriptedApi, ote: Ote, nats_server: NatsServer) -> None:
    def look(body: dict[str, Any]) -> dict[str, Any]:
        if body.get("after"):
            return command({"r.b": "accepted"}, summary={"succeeded": 1, "accepted": 1})
        return command({"r.a": "succeeded"}, summary={"succeeded": 1, "accepted": 1}, next="r.a")

    api.endpoints["command"] = look
    async with api.serving(nats_server.url):
        ran = await ote("status", ID)
        assert [line.split()[:2] for line in ran.lines[-2:]] == [["r.a", "succeeded"], ["r.b", "accepted"]]
        assert ran.code == 0
        whole = (await ote("status", ID, "-o", "json")).json()
        assert (list(whole["targets"]), "next" in whole) == (["r.a", "r.b"], False)
        assert (await ote("status", ID, "-o", "name")).lines == ["r.a", "r.b"]


STATUS: dict[str, Any] = {
    "path": "root.east",
    "epoch": "00000001.aa",
    "instance": ID,
    "version": "0.1.0",
    "uptime": 73.0,
    "log": {"events": 12, "bytes": 3400, "free_bytes": 5_000_000_000},
    "clusters": {"online": 1, "offline": [{"path": "r.b", "since": "2026-11-01T00:00:00Z", "reason": "lost"}]},
    "commands": {"open": 0, "oldest": [], "in_doubt": []},
    "backlog": {"commands": 4},
    "link": {"parent": "root", "state": "online", "since": "2026-11-01T00:00:00Z"},
}


async def test_status_of_the_tier(api: ScriptedApi, ote: Ote, nats_server: NatsServer) -> None:
    api.endpoints["status"] = lambda body: STATUS
    async with api.serving(nats_server.url):
        ran = await ote("status")
        assert "tier:     root.east  version 0.1.0, up 1m, epoch 00000001.aa" in ran.lines
        assert any(line.startswith("r.b") and line.split()[-2:] == ["lost", "-"] for line in ran.lines)
        assert (await ote("status", "-o", "yaml")).yaml() == STATUS
        assert (await ote("status", "-o", "name")).lines == ["root.east"]


async def test_cancel_and_resolve(api: ScriptedApi, ote: Ote, nats_server: NatsServer) -> None:
    def cancel(body: dict[str, Any]) -> dict[str, Any]:
        return {"id": ID, "state": "cancelling", "count": 1, "targets": ["r.b"]}

    def resolve(body: dict[str, Any]) -> dict[str, Any]:
        return body

    api.endpoints |= {"cancel": cancel, "resolve": resolve}
    async with api.serving(nats_server.url):
        ran = await ote("cancel", ID, "--target", "r.b")
        assert (ran.code, ran.out) == (0, f"cancelling command {ID} at 1 cluster: r.b\n")
        ran = await ote("resolve", ID, "--target", "r.b", "--as", "done")
        assert (ran.code, ran.out) == (0, f"resolved command {ID} at r.b as done\n")
        assert (await ote("resolve", ID, "--target", "r.b", "--as", "retry", "-o", "json")).json()["as"] == "retry"
        assert (await ote("resolve", ID, "--target", "r.b", "--as", "magic")).code == 2
        api.endpoints["cancel"] = lambda body: {"id": ID, "state": "cancelling", "count": 0, "targets": []}
        ran = await ote("cancel", ID)
        assert (ran.code, ran.out) == (6, "")
        assert ran.err == f"nothing to cancel: command {ID} was delivered, or is over, at every cluster\n"
    assert api.of("cancel") == [{"id": ID, "target": "r.b"}, {"id": ID}]


def event(number: int) -> dict[str, Any]:
    draft = Draft("ote.cluster.offline.v1", "ote.evt.cluster-offline.root", {"path": f"r.s{number}"})
    return draft.seal("root", "00000001.aa", number).cloudevent()


async def test_the_log_is_paged_and_filtered(api: ScriptedApi, ote: Ote, nats_server: NatsServer) -> None:
    events = [event(n) for n in range(450)]

    def log(body: dict[str, Any]) -> dict[str, Any]:
        after = body.get("after", 0)
        page = events[after : after + body["limit"]]
        return {"events": page, "next": after + len(page)}

    api.endpoints["log"] = log
    async with api.serving(nats_server.url):
        ran = await ote("log", "--since", "10m", "--source", "under:root", "--type", "ote.cluster.offline.v1")
        assert len(ran.lines) == 450
        assert ran.lines[-1].endswith("root  cluster.offline.v1  path=r.s449")
        first = api.of("log")[0]
        assert (first["source"], first["type"]) == ("under:root", "ote.cluster.offline.v1")
        as_json = await ote("log", "--limit", "3", "-o", "json")
        assert len(as_json.lines) == 3 and '"specversion": "1.0"' in as_json.lines[0]
        assert (await ote("log", "--limit", "2", "-o", "name")).lines == [event["id"] for event in events[:2]]
        part = await ote("log", "--after", "300", "--limit", "70", "-o", "name")
        assert part.lines == [event["id"] for event in events[300:370]]
        assert part.err == "to go on: --after 370\n"
        rest = await ote("log", "--after", "370", "-o", "name")
        assert (rest.lines, rest.err) == ([event["id"] for event in events[370:]], "")
        assert (await ote("log", "--at", "2026-11-01T00:00:00Z")).code == 0
        assert api.of("log")[-1] == {"until": "2026-11-01T00:00:00.000000Z", "limit": 100, "latest": True}
        for words in (["--follow", "--at", "1h"], ["--since", "1h", "--until", "2h"]):
            refused = await ote("log", *words)
            assert (refused.code, refused.out) == (2, "") and "hint: " in refused.err


async def test_following_the_log_until_interrupted(api: ScriptedApi, ote: Ote, nats_server: NatsServer) -> None:
    events, grown = [event(1)], asyncio.Event()

    async def log(body: dict[str, Any]) -> dict[str, Any]:
        if body.get("wait"):
            await asyncio.wait_for(grown.wait(), body["wait"])
            grown.clear()
        page = events[body.get("after", 0) :]
        return {"events": page, "next": len(events)}

    api.endpoints["log"] = log
    async with api.serving(nats_server.url):
        process = await ote.start("log", "-f", "-o", "name")
        assert process.stdout is not None
        async with asyncio.timeout(30):
            assert (await process.stdout.readline()).decode().strip() == events[0]["id"]
            events.append(event(2))
            grown.set()
            assert (await process.stdout.readline()).decode().strip() == events[1]["id"]
            process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")


async def test_a_reader_that_leaves_is_no_error(api: ScriptedApi, ote: Ote, nats_server: NatsServer) -> None:
    api.endpoints["log"] = lambda body: {"events": [event(n) for n in range(200)], "next": body.get("after", 0) + 200}
    async with api.serving(nats_server.url):
        process = await ote.start("log")
        assert process.stdout is not None
        async with asyncio.timeout(30):
            await process.stdout.readline()
            process.stdout._transport.close()  # type: ignore[attr-defined]
            assert process.stderr is not None
            err = await process.stderr.read()
            await process.wait()
    assert (process.returncode, err) == (0, b"")

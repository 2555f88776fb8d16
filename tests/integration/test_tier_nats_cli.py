"""What the `nats` command line sends to a tier, and what it gets: a client that is not ours, without our headers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import pytest
from nats.aio.client import Client

from tests import nats_cli
from tests.integration.tiers import LocalTier, Tiers, config

ENDPOINTS = [
    "submit",
    "command",
    "commands",
    "cancel",
    "resolve",
    "retry",
    "tag",
    "ask",
    "links",
    "clusters",
    "resolve_selector",
    "objects",
    "why",
    "undo",
    "log",
    "status",
]
ECHO = """sh -c 'printf "{\\"ok\\": true, \\"result\\": \\"%s\\"}" "$NATS_REQUEST_SUBJECT"'"""


@pytest.fixture
async def root(tiers: Tiers) -> LocalTier:
    root = await tiers.grow("root", shims=())
    await tiers.grow("root.site", root, tags=["camera"], shims=["local", "shell"])
    return root


@pytest.fixture
async def nats(root: LocalTier) -> AsyncIterator[Client]:
    async with nats_cli.client(root.info["nats"]) as connection:
        yield connection


async def req(connection: Client, name: str, body: Any, timeout: float = 30.0) -> tuple[Any, dict[str, str]]:
    """The answer of `nats req ote.local.<name> BODY`: its JSON, and its headers."""
    (answer,) = await nats_cli.request(connection, f"ote.local.{name}", json.dumps(body), timeout=timeout)
    return json.loads(answer.data), answer.headers or {}


async def test_a_command_by_req_alone(nats: Client) -> None:
    accepted, headers = await req(nats, "submit", {"to": "tag:camera", "do": config("shop")})
    assert (accepted["state"], accepted["targets"]) == ("accepted", ["root.site"])
    assert headers["Content-Type"] == "application/json"
    done, _ = await req(nats, "command", {"id": accepted["id"], "wait": 30}, timeout=40)
    while done["summary"] != {"succeeded": 1}:
        done, _ = await req(nats, "command", {"id": accepted["id"], "wait": 30}, timeout=40)
    waited, _ = await req(nats, "submit", {"to": "site", "do": config("shop"), "wait": 30}, timeout=40)
    assert waited["targets"]["root.site"]["result"]["objects"][0]["result"] == "unchanged"


async def test_an_empty_body_asks_for_everything(nats: Client) -> None:
    for name in ("clusters", "commands", "log", "status"):
        (answer,) = await nats_cli.request(nats, f"ote.local.{name}", "")
        assert "Nats-Service-Error" not in (answer.headers or {}), name
        assert json.loads(answer.data)


async def test_errors_are_in_the_headers_and_in_the_body(nats: Client) -> None:
    said, headers = await req(nats, "submit", {"to": "tag:camra", "do": config("shop")})
    assert headers["Nats-Service-Error-Code"] == "404"
    assert headers["Nats-Service-Error"] == said["error"]["message"]
    assert (said["error"]["code"], said["error"]["field"]) == ("not-found", "to")
    assert said["error"]["hint"] == "did you mean 'tag:camera'?"


async def test_msgpack_is_answered_in_msgpack(nats: Client) -> None:
    (answer,) = await nats_cli.request(nats, "ote.local.clusters", msgpack.packb({"limit": 1}))
    assert (answer.headers or {})["Content-Type"] == "application/msgpack"
    assert msgpack.unpackb(answer.data)["clusters"][0]["path"] == "root"


async def test_micro_lists_this_tier_alone(root: LocalTier, nats: Client, tiers: Tiers) -> None:
    for tier in (root, tiers["root.site"]):
        async with nats_cli.client(tier.info["nats"]) as connection:
            services = await nats_cli.micro(connection, "INFO", wait=1.0)
            found = [service for service in services if service["name"] == "ote"]
            assert [service["metadata"]["path"] for service in found] == [tier.path]
            endpoints = {endpoint["name"]: endpoint["subject"] for endpoint in found[0]["endpoints"]}
            assert endpoints == {name: f"ote.local.{name}" for name in ENDPOINTS}
            assert {service["id"] for service in await nats_cli.micro(connection, "PING", "ote", wait=1.0)} == {
                found[0]["id"]
            }


async def test_micro_stats_count_requests_and_errors(nats: Client) -> None:
    await req(nats, "clusters", {})
    await req(nats, "command", {"id": "nonsense"})
    (stats,) = await nats_cli.micro(nats, "STATS", "ote", wait=1.0)
    by_name = {endpoint["name"]: endpoint for endpoint in stats["endpoints"]}
    assert by_name["clusters"]["num_requests"] >= 1
    command = by_name["command"]
    assert (command["num_requests"], command["num_errors"]) == (1, 1)
    assert command["last_error"].startswith("400:")
    assert command["average_processing_time"] > 0


async def test_a_shell_line_behind_nats_reply_is_a_shim(root: LocalTier, tiers: Tiers) -> None:
    async with nats_cli.client(tiers["root.site"].info["nats"]) as connection:
        await nats_cli.reply(connection, "ote.local.shim.shell", command=ECHO)
        done = await root.submit("site", {"shim": "shell", "verb": "where"}, wait=30)
        assert done["targets"]["root.site"]["result"] == "ote.local.shim.shell"


async def test_the_local_api_of_a_tier_is_not_reached_from_another(nats: Client, root: LocalTier, tiers: Tiers) -> None:
    status, _ = await req(nats, "status", {})
    assert status["path"] == "root"
    answers = await nats_cli.request(nats, "ote.local.status", "{}", replies=0, timeout=0.5)
    assert len(answers) == 1
    async with nats_cli.client(tiers["root.site"].info["nats"]) as below:
        status, _ = await req(below, "status", {})
        assert status["path"] == "root.site"

"""`ote shim check` against shims that run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bus.client import Bus, Message
from tests.integration.cli import Ote
from tests.support import NatsServer

Execute = Callable[[dict[str, Any]], dict[str, Any]]


async def serve(bus: Bus, execute: Execute) -> None:
    """A shim of the kind `toy` that has one verb, and answers execute only."""

    def answer(message: Message) -> None:
        try:
            reply = execute(json.loads(message.data))
        except (ValueError, KeyError, TypeError) as error:
            reply = {"ok": False, "error": {"code": "bad-request", "message": f"{type(error).__name__}: {error}"}}
        message.respond(json.dumps(reply).encode())

    await bus.subscribe("ote.local.shim.toy", answer)
    await bus.flush()


def good(request: dict[str, Any]) -> dict[str, Any]:
    if request["verb"] != "hello":
        return {"ok": False, "error": {"code": "unknown-verb", "message": "hello is all I know"}}
    return {"ok": True, "result": f"hello {request['args'].get('name', '')}"}


async def test_a_good_shim(nats_server: NatsServer, tmp_path: Path) -> None:
    ote = Ote(tmp_path, nats_server.url)
    async with await Bus.connect(nats_server.url, name="toy") as bus:
        await serve(bus, good)
        ran = await ote("shim", "check", "toy", "--verb", "hello", "name=ada")
        assert (ran.code, ran.err) == (0, "")
        assert ran.lines[0].split() == ["CHECK", "FOUND"]
        assert any(line.startswith("execute") and "hello ada" in line for line in ran.lines)
        assert (await ote("shim", "check", "toy", "name=ada")).code == 2


async def test_a_shim_that_takes_anything_fails_readably(nats_server: NatsServer, tmp_path: Path) -> None:
    ote = Ote(tmp_path, nats_server.url)
    async with await Bus.connect(nats_server.url, name="toy") as bus:
        await serve(bus, lambda request: {"ok": True})
        ran = await ote("shim", "check", "toy")
        assert ran.code == 1
        assert any(line.split()[:3] == ["unknown", "verb", "fail"] for line in ran.lines)
        assert "unknown verb" in (await ote("shim", "check", "toy", "-o", "name")).lines
        checks = (await ote("shim", "check", "toy", "-o", "json")).json()["checks"]
        assert {check["name"] for check in checks if not check["ok"]} >= {"unknown verb"}


async def test_no_shim_at_all(nats_server: NatsServer, tmp_path: Path) -> None:
    ran = await Ote(tmp_path, nats_server.url)("shim", "check", "toy")
    assert ran.code == 1
    assert "nobody listens on ote.local.shim.toy" in ran.out

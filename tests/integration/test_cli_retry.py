"""`ote retry`: a new command is waited for, one in doubt goes on under its own id."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli import Ote, ScriptedApi
from tests.integration.test_cli_questions import ID, command
from tests.support import NatsServer


@pytest.fixture
async def ote(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Ote]:
    yield Ote(tmp_path, nats_server.url)


async def test_retry(ote: Ote, nats_server: NatsServer) -> None:
    doubtful = "01939a3c-0000-7000-8000-000000000009"

    def retry(body: dict[str, Any]) -> dict[str, Any]:
        new = body["new"] if body["id"] == ID else body["id"]
        return {"id": new, "target": body["target"], "retries": body["id"]}

    api = ScriptedApi({"retry": retry, "command": lambda body: command({"r.a": "succeeded"})})
    async with api.serving(nats_server.url):
        ran = await ote("retry", ID, "--target", "r.a", "--ttl", "5m")
        asked = api.of("retry")[0]
        assert (asked["target"], asked["ttl"], "@" in asked["actor"]) == ("r.a", 300.0, True)
        assert (ran.code, ran.lines[0]) == (0, f"command {asked['new']} tries {ID} again at r.a")
        assert ran.lines[-1].split()[:2] == ["r.a", "succeeded"]
        assert {body["id"] for body in api.of("command")} == {asked["new"]}
        short = (await ote("retry", ID, "--target", "r.a", "--no-wait", "-o", "json")).json()
        assert short == {"id": api.of("retry")[1]["new"], "target": "r.a", "retries": ID}
        doubt = await ote("retry", doubtful, "--target", "r.a")
        assert (doubt.code, f"ote status {doubtful} --watch" in doubt.err) == (0, True)

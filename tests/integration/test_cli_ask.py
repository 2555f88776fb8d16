"""`ote ask`: what is asked, and how the answers look."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bus.errors import Refused
from tests.integration.cli import Ote, ScriptedApi
from tests.support import NatsServer

FOUND = {"kind": "List", "items": [{"kind": "ConfigMap", "metadata": {"name": "shop"}}]}
MISSING = {"code": "not-found", "message": 'ConfigMap "shop" not found'}


@pytest.fixture
async def ote(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Ote]:
    yield Ote(tmp_path, nats_server.url)


def answer(**more: Any) -> dict[str, Any]:
    return {"to": "tag:a", "do": {"verb": "list", "args": {}}, "count": 1, "answers": {}, "missing": {}, **more}


async def test_all_pages_are_one_answer(ote: Ote, nats_server: NatsServer) -> None:
    pages = [
        answer(
            count=4, answers={"r.a": {"ok": True, "result": FOUND}}, missing={"r.b": "offline since then"}, next="r.b"
        ),
        answer(count=4, answers={"r.c": {"ok": False, "error": MISSING}, "r.d": {"ok": True, "result": 7}}),
    ]
    api = ScriptedApi({"ask": lambda body: pages["after" in body]})
    async with api.serving(nats_server.url):
        ran = await ote("ask", "--on", "tag:a", "list", "kind=ConfigMap", "limit:=3", "--timeout", "2s", "--shim", "vm")
        assert [line.split("   ")[0].rstrip() for line in ran.lines[:5]] == ["CLUSTER", "r.a", "r.b", "r.c", "r.d"]
        assert "1 item" in ran.lines[1] and "offline since then" in ran.lines[2] and "not-found" in ran.lines[3]
        assert "name: shop" in ran.out and "asked 2 of 4 clusters" in ran.err
        assert ran.code == 1
        whole = (await ote("ask", "--on", "tag:a", "list", "-o", "json")).json()
        assert (sorted(whole["answers"]), list(whole["missing"]), "next" in whole) == (
            ["r.a", "r.c", "r.d"],
            ["r.b"],
            False,
        )
        assert (await ote("ask", "--on", "tag:a", "list", "-o", "name")).lines == ["r.a", "r.c", "r.d"]
    first = api.of("ask")[0]
    assert first["do"] == {"shim": "vm", "verb": "list", "args": {"kind": "ConfigMap", "limit": 3}}
    assert (first["to"], first["timeout"]) == ("tag:a", 2.0)


async def test_the_exit_code_says_who_answered(ote: Ote, nats_server: NatsServer) -> None:
    said = {"r.a": {"ok": True, "result": FOUND}}
    for more, code in (
        ({"answers": said}, 0),
        ({"answers": said, "missing": {"r.b": "offline"}}, 1),
        ({"missing": {"r.b": "x"}}, 4),
    ):
        async with ScriptedApi({"ask": lambda body, more=more: answer(**more)}).serving(nats_server.url):  # type: ignore[misc]
            assert (await ote("ask", "--on", "tag:a", "list")).code == code


async def test_what_is_no_query_is_refused(ote: Ote, nats_server: NatsServer) -> None:
    def refuse(body: dict[str, Any]) -> dict[str, Any]:
        raise Refused("'delete' is no query", field="do.verb", hint="what changes something is a command: `ote run`")

    async with ScriptedApi({"ask": refuse}).serving(nats_server.url):
        ran = await ote("ask", "--on", "tag:a", "delete", "name=x")
    assert (ran.code, ran.out) == (6, "")
    assert ran.err == "error: 'delete' is no query (do.verb)\nhint: what changes something is a command: `ote run`\n"

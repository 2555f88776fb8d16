"""`ote apply`, `delete` and `run`: what is submitted, how a wait goes, and what it ends with."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from bus.errors import BadRequest
from bus.event import now
from bus.messages import SubmitRequest
from tests.integration.cli import Ote, ScriptedApi
from tests.support import NatsServer, eventually

MANIFEST = "{apiVersion: v1, kind: ConfigMap, metadata: {name: shop}, data: {open: 'yes'}}"


SHIMS: dict[str, list[str]] = {"r.a": ["local"], "r.b": [], "r.c": ["k3s", "local"]}


class Fleet:
    """Clusters whose answers to a command a test writes; it answers `submit`, `command`, `status`, `clusters`."""

    def __init__(self, *paths: str) -> None:
        self.targets: dict[str, dict[str, Any]] = {path: self._target("accepted") for path in paths}
        self.submitted: list[SubmitRequest] = []
        self.polls = 0
        self.api = ScriptedApi({"submit": self._submit, "command": self._command, "status": self._status})
        self.api.endpoints |= {"clusters": self._clusters, "resolve_selector": self._resolve_selector}
        self._changed = asyncio.Event()

    @staticmethod
    def _target(state: str, **other: Any) -> dict[str, Any]:
        return {"state": state, "number": 1, "receipts": {"accepted": now(), "stored": {}}, **other}

    def set(self, path: str, state: str, **other: Any) -> None:
        self.targets[path] = self._target(state, **other)
        self._changed.set()

    def _submit(self, body: dict[str, Any]) -> dict[str, Any]:
        request = SubmitRequest.model_validate(body)
        self.submitted.append(request)
        return {"id": request.id, "state": "accepted", "count": len(self.targets), "targets": list(self.targets)}

    async def _command(self, body: dict[str, Any]) -> dict[str, Any]:
        self.polls += 1
        if body.get("wait"):
            self._changed.clear()
            await asyncio.wait([asyncio.create_task(self._changed.wait())], timeout=body["wait"])
        states = [target["state"] for target in self.targets.values()]
        rest = {path: target for path, target in self.targets.items() if path > (body.get("after", ""))}
        head = {"id": body["id"], "to": "all", "do": {"verb": "v", "args": {}}, "actor": None, "submitted": now()}
        return {**head, "targets": rest, "summary": {state: states.count(state) for state in states}}

    def _status(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"clusters": {"offline": [{"path": "r.off", "since": "2026-11-01T00:00:00Z"}]}}

    def _clusters(self, body: dict[str, Any]) -> dict[str, Any]:
        row = {"state": "online", "tags": [], "lag": {"events": 0, "seconds": 0}, "last_seen": now()}
        return {"clusters": [row | {"path": path, "name": path, "shims": kinds} for path, kinds in SHIMS.items()]}

    def _resolve_selector(self, body: dict[str, Any]) -> dict[str, Any]:
        kind = body.get("shim")
        targets = [path for path, kinds in SHIMS.items() if (kind in kinds if kind else kinds)]
        return {"targets": targets, "count": len(targets)}


@pytest.fixture
def ote(nats_server: NatsServer, tmp_path: Path) -> Ote:
    (tmp_path / "shop.yaml").write_text(MANIFEST)
    return Ote(tmp_path, nats_server.url)


async def test_an_apply_is_one_command(ote: Ote, nats_server: NatsServer) -> None:
    fleet = Fleet("r.a", "r.b")
    async with fleet.api.serving(nats_server.url):
        ran = await ote(
            *("apply", "-f", "shop.yaml", "-f", "-", "--on", "tag:camera"),
            *("--ttl", "5m", "--key", "shop", "--lane", "one"),
            stdin=MANIFEST.replace("shop", "second"),
        )
    [sent] = fleet.submitted
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"command {sent.id} to 2 clusters: r.a, r.b\n"
    names = [manifest["metadata"]["name"] for manifest in sent.do.args["manifests"]]
    assert (sent.to, sent.do.verb, sent.do.shim, names) == ("tag:camera", "apply", None, ["shop", "second"])
    assert (sent.ttl, sent.key, sent.lane, sent.wait) == (300, "shop", "one", None)
    assert sent.actor and "@" in sent.actor


async def test_what_programs_get(ote: Ote, nats_server: NatsServer) -> None:
    fleet = Fleet("r.a")
    fleet.set("r.a", "succeeded", result={"n": 1})
    async with fleet.api.serving(nats_server.url):
        apply = ("apply", "-f", "shop.yaml", "--on", "r.a")
        assert (await ote(*apply, "-o", "json")).json()["targets"] == ["r.a"]
        assert (await ote(*apply, "-o", "name")).lines == [fleet.submitted[-1].id]
        waited = await ote(*apply, "--wait", "-o", "json")
        assert waited.json()["targets"]["r.a"]["result"] == {"n": 1}
        assert (await ote(*apply, "--wait", "-o", "name")).lines == [fleet.submitted[-1].id]


async def test_a_wait_shows_who_is_missing_and_ends_with_the_last(ote: Ote, nats_server: NatsServer) -> None:
    fleet = Fleet("r.a", "r.off")
    async with fleet.api.serving(nats_server.url):
        process = await ote.start("apply", "-f", "shop.yaml", "--on", "under:r", "--wait=30")
        assert process.stderr is not None
        async with asyncio.timeout(30):
            first = (await process.stderr.readline()).decode()
            fleet.set("r.a", "succeeded")
            second = (await process.stderr.readline()).decode()
            fleet.set("r.off", "succeeded")
            out, err = await process.communicate()
    assert process.returncode == 0
    assert re.match(r"0/2   2 accepted   waiting for r.a \(accepted \d+s\), r.off \(offline \d+d\)\n", first)
    assert second.startswith("1/2   1 accepted, 1 succeeded   waiting for r.off (offline ")
    assert err.decode() == "2/2   2 succeeded\n"
    assert "r.a" in [body.get("after") for body in fleet.api.of("command")]
    assert [line.split()[:2] for line in out.decode().splitlines()[-2:]] == [
        ["r.a", "succeeded"],
        ["r.off", "succeeded"],
    ]


async def test_a_failure_anywhere_is_a_failure(ote: Ote, nats_server: NatsServer) -> None:
    fleet = Fleet("r.a", "r.b")
    fleet.set("r.a", "succeeded")
    fleet.set("r.b", "failed", error={"code": "invalid", "message": "no such\x1b kind"})
    async with fleet.api.serving(nats_server.url):
        ran = await ote("apply", "-f", "shop.yaml", "--on", "under:r", "--wait")
    assert ran.code == 1
    assert ran.lines[-1].endswith("invalid: no such\\x1b kind")


async def test_the_wait_ends_and_the_command_goes_on(ote: Ote, nats_server: NatsServer) -> None:
    fleet = Fleet("r.a", "r.b")
    fleet.set("r.a", "succeeded")
    async with fleet.api.serving(nats_server.url):
        ran = await ote("apply", "-f", "shop.yaml", "--on", "under:r", "--wait=300ms")
    assert ran.code == 5
    assert ran.err.splitlines()[-1] == (
        f"the wait of 0.3 s is over, 1 of 2 are open; ote status {fleet.submitted[0].id} --watch"
    )
    assert "r.b" in ran.out


async def test_an_interrupt_ends_the_wait_only(ote: Ote, nats_server: NatsServer) -> None:
    fleet = Fleet("r.a")
    async with fleet.api.serving(nats_server.url):
        process = await ote.start("apply", "-f", "shop.yaml", "--on", "r.a", "--wait=1h")
        await eventually(lambda: fleet.polls > 1)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            out, err = await process.communicate()
    assert process.returncode == 130
    assert out.decode().startswith(f"command {fleet.submitted[0].id} to 1 cluster: r.a")
    assert err.decode().splitlines()[-1] == (
        f"the command goes on; to see how: ote status {fleet.submitted[0].id} --watch"
    )
    assert fleet.api.of("cancel") == []


async def test_watching_survives_a_server_that_comes_back(ote: Ote, nats_server: NatsServer) -> None:
    fleet = Fleet("r.a")
    fleet.set("r.a", "received")
    async with fleet.api.serving(nats_server.url):
        process = await ote.start("status", "01939a3c-0000-7000-8000-000000000001", "--watch")
        await eventually(lambda: fleet.polls > 1)
        nats_server.stop()
        assert process.stderr is not None
        lines = []
        async with asyncio.timeout(30):
            while not lines or lines[-1].rstrip().endswith("ago)") or "(" not in lines[-1].rpartition("   ")[2]:
                lines.append((await process.stderr.readline()).decode())
            nats_server.start()
            polled = fleet.polls
            await eventually(lambda: fleet.polls > polled)
            fleet.set("r.a", "succeeded")
            out, err = await process.communicate()
    assert process.returncode == 0
    assert err.decode().splitlines()[-1] == "1/1   1 succeeded"
    assert out.decode().splitlines()[-1].split()[:2] == ["r.a", "succeeded"]


async def test_somebody_who_watches_sees_it_live(ote: Ote, nats_server: NatsServer) -> None:
    fleet = Fleet("r.a", "r.b")
    fleet.set("r.a", "succeeded")
    seen = b""
    terminal, inner = pty.openpty()
    os.set_blocking(terminal, False)
    environ = {**ote.environ, "TERM": "xterm", "COLUMNS": "120"}
    command = (sys.executable, "-m", "services.cli", "apply", "-f", "shop.yaml", "--on", "under:r", "--wait")
    async with fleet.api.serving(nats_server.url):
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ote.cwd, env=environ, stdin=inner, stdout=inner, stderr=inner
        )
        os.close(inner)

        def read() -> bytes:
            nonlocal seen
            with contextlib.suppress(OSError):
                seen += os.read(terminal, 65536)
            return seen

        await eventually(lambda: b"waiting for r.b" in read())
        fleet.set("r.b", "succeeded")
        async with asyncio.timeout(30):
            assert await process.wait() == 0
        await eventually(lambda: b"r.b      succeeded" in read(), what=repr(seen))
    os.close(terminal)


async def test_a_dry_run_sends_nothing(ote: Ote, nats_server: NatsServer) -> None:
    fleet = Fleet("r.a")
    async with fleet.api.serving(nats_server.url):
        ran = await ote("apply", "-f", "shop.yaml", "--on", "under:r", "--dry-run")
        assert [line.split()[0] for line in ran.lines[1:]] == ["r.a", "r.c"]
        assert ran.err == "dry run: apply ConfigMap/shop would go to 2 clusters\n"
        named = await ote("run", "--on", "under:r", "--shim", "k3s", "--dry-run", "list", "-o", "name")
        assert named.lines == ["r.c"]
    assert fleet.submitted == []


async def test_deleting_by_name_and_by_file(ote: Ote, nats_server: NatsServer) -> None:
    fleet = Fleet("r.a")
    async with fleet.api.serving(nats_server.url):
        assert (await ote("delete", "-f", "shop.yaml", "--on", "r.a")).code == 0
        assert (await ote("delete", "Deployment", "web", "-n", "shop", "--on", "r.a")).code == 0
        assert (await ote("delete", "Deployment", "--on", "r.a")).code == 2
    by_file, by_name = (sent.do.args["manifests"] for sent in fleet.submitted)
    assert by_file[0]["metadata"] == {"name": "shop"}
    assert by_name == [{"kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}}]
    assert {sent.do.verb for sent in fleet.submitted} == {"delete"}


async def test_a_run_waits_and_shows_whole_results(ote: Ote, nats_server: NatsServer) -> None:
    fleet = Fleet("r.a", "r.b")
    fleet.set("r.a", "succeeded", result={"items": [{"kind": "ConfigMap", "name": "shop"}]})
    fleet.set("r.b", "succeeded", result="nothing here")
    async with fleet.api.serving(nats_server.url):
        ran = await ote("run", "--on", "under:r", "--shim", "local", "list", "kind=ConfigMap", "limit:=3")
        assert (await ote("run", "--on", "under:r", "--no-wait", "list")).code == 0
    sent, later = fleet.submitted
    assert (sent.do.shim, sent.do.verb, sent.do.args) == ("local", "list", {"kind": "ConfigMap", "limit": 3})
    assert ran.out.endswith("r.a:\n  items:\n  - kind: ConfigMap\n    name: shop\n")
    assert "nothing here" in ran.out
    assert later.do.args == {}


async def test_an_answer_that_never_comes_names_the_id(ote: Ote, nats_server: NatsServer) -> None:
    fleet = Fleet("r.a")
    lost: list[str] = []

    async def submit(body: dict[str, Any]) -> dict[str, Any]:
        lost.append(body["id"])
        nats_server.stop()
        return {}

    fleet.api.endpoints["submit"] = submit
    async with fleet.api.serving(nats_server.url):
        ran = await ote("apply", "-f", "shop.yaml", "--on", "r.a")
    assert ran.code == 4
    assert lost[0] in ran.err


async def test_a_refused_selector_is_shown_as_the_tier_says_it(ote: Ote, nats_server: NatsServer) -> None:
    fleet = Fleet("r.a")

    def submit(body: dict[str, Any]) -> dict[str, Any]:
        raise BadRequest("no cluster has the tag camra", field="to", hint="did you mean camera?")

    fleet.api.endpoints["submit"] = submit
    async with fleet.api.serving(nats_server.url):
        ran = await ote("apply", "-f", "shop.yaml", "--on", "tag:camra")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "error: no cluster has the tag camra (to)\nhint: did you mean camera?\n"

"""The conformance check tells good shims from bad ones, in words that help."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bus.client import Bus, Message, NoAnswer
from bus.event import Event
from services.shims.check import Finding, check
from services.shims.local import LocalShim
from services.shims.served import ServedShim, in_log
from store.memory.log import MemoryLog
from tests.support import NatsServer, eventually

EXAMPLES = Path(__file__).parents[2] / "examples"
NATS_CLI = Path(__file__).parents[1] / "nats_cli.py"


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    async with await Bus.connect(nats_server.url, name="check") as bus:
        yield bus


def failures(findings: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.message for finding in findings if not finding.ok}


def notes(findings: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.message for finding in findings if finding.note}


async def served(bus: Bus, answer: Callable[[dict[str, Any]], Any], *, describe: Any = None) -> None:
    """A shim in a few lines; `answer` gets the request and returns the answer, bytes, or None for silence."""

    def execute(message: Message) -> None:
        try:
            asked = json.loads(message.data)
            said = answer(asked) if isinstance(asked, dict) and "verb" in asked else refuse("no request")
        except ValueError:
            said = refuse("no JSON")
        if said is not None:
            message.respond(said if isinstance(said, bytes) else json.dumps(said).encode())

    await bus.subscribe("ote.local.shim.vm", execute)
    if describe is not None:
        await bus.subscribe(
            "ote.local.shim.vm.describe", lambda message: message.respond(json.dumps(describe).encode())
        )
    await bus.flush()


def refuse(why: str) -> dict[str, Any]:
    return {"ok": False, "error": {"code": "refused", "message": why}}


async def test_the_local_shim_passes_without_a_note(bus: Bus) -> None:
    log: MemoryLog[Event] = MemoryLog("root.site1")
    local = LocalShim(log)
    async with ServedShim(bus, local.kind, local.describe, in_log(local, log)):
        findings = await check(bus, "local")
    assert failures(findings) == notes(findings) == {}
    assert [finding.name for finding in findings] == [
        "answers",
        "describe",
        "unknown verb",
        "bytes that are no request",
        "several at once",
        "execute",
        "the same again",
        "deadline",
        "large arguments",
    ]
    assert log.query(lambda reader: reader.last_row()) == 0


async def test_a_shim_that_only_executes_passes_with_notes(bus: Bus) -> None:
    await served(bus, lambda asked: {"ok": True} if asked["verb"] == "start" else refuse("no such verb"))
    findings = await check(bus, "vm")
    assert failures(findings) == {}
    assert set(notes(findings)) == {"describe", "execute", "the same again"}
    assert failures(await check(bus, "vm", verb="start")) == {}
    assert set(notes(await check(bus, "vm", verb="start"))) == {"describe", "the same again", "deadline"}


async def test_nobody_is_there(bus: Bus) -> None:
    findings = await check(bus, "vm")
    assert list(failures(findings)) == ["answers"] and len(findings) == 1
    assert "ote.local.shim.vm.execute" in findings[0].message and "Is the shim running" in findings[0].message


async def test_silence(bus: Bus) -> None:
    await served(bus, lambda asked: None)
    findings = await check(bus, "vm", timeout=0.1)
    assert list(failures(findings)) == ["answers"]


async def test_a_shim_that_takes_every_verb_for_done(bus: Bus) -> None:
    await served(bus, lambda asked: {"ok": True})
    found = failures(await check(bus, "vm"))
    assert list(found) == ["unknown verb"]
    assert "would look as if it were done" in found["unknown verb"]


async def test_a_refusal_without_a_reason(bus: Bus) -> None:
    await served(bus, lambda asked: {"ok": False})
    assert "says no reason" in failures(await check(bus, "vm"))["answers"]


@pytest.mark.parametrize("answer", [b"done", b"[]", b"{}", b'{"ok": 1}', b'{"ok": false, "error": 5}'])
async def test_answers_of_another_shape(bus: Bus, answer: bytes) -> None:
    await served(bus, lambda asked: answer)
    found = failures(await check(bus, "vm", timeout=1))
    assert "expected" in found["unknown verb"] and answer.decode() in found["unknown verb"]


async def test_a_shim_that_chokes_on_bytes_that_are_no_request(bus: Bus) -> None:
    def execute(message: Message) -> None:
        json.loads(message.data)["verb"]
        message.respond(json.dumps(refuse("no such verb")).encode())

    await bus.subscribe("ote.local.shim.vm", execute)
    await bus.flush()
    found = failures(await check(bus, "vm", timeout=1.0))
    assert list(found) == ["bytes that are no request"]
    assert "waits in vain" in found["bytes that are no request"]


async def test_a_shim_that_answers_one_at_a_time_only(bus: Bus) -> None:
    busy = False

    async def later(message: Message) -> None:
        nonlocal busy
        await asyncio.sleep(0.01)
        busy = False
        message.respond(json.dumps(refuse("no such verb")).encode())

    tasks = []

    def execute(message: Message) -> None:
        nonlocal busy
        if not busy:
            busy = True
            tasks.append(asyncio.create_task(later(message)))

    await bus.subscribe("ote.local.shim.vm", execute)
    await bus.flush()
    found = failures(await check(bus, "vm", timeout=1.0))
    assert "7 of 8 requests" in found["several at once"]


async def test_bad_descriptions(bus: Bus) -> None:
    await served(bus, lambda asked: refuse("no such verb"), describe={"kind": "other", "verbs": {}})
    assert "kind is 'other'" in failures(await check(bus, "vm"))["describe"]


async def test_what_may_be_repeated_must_be_answered_alike(bus: Bus) -> None:
    seen: set[str] = set()

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        if asked["verb"] != "start":
            return refuse("no such verb")
        first = asked["id"] not in seen
        seen.add(asked["id"])
        return {"ok": True} if first else refuse("it runs already")

    await served(bus, answer, describe={"kind": "vm", "verbs": {"start": {"idempotent": True}}})
    found = failures(await check(bus, "vm", verb="start"))
    assert list(found) == ["the same again"]


async def test_a_named_verb_that_fails(bus: Bus) -> None:
    await served(bus, lambda asked: refuse("no disk"))
    assert "no disk" in failures(await check(bus, "vm", verb="start"))["execute"]


# The examples ------------------------------------------------------------------------------------


@contextmanager
def running(command: list[str], server: NatsServer, path: str = os.environ["PATH"]) -> Iterator[None]:
    environment = {**os.environ, "NATS_URL": server.url, "PATH": path}
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


async def answered(bus: Bus, kind: str) -> bool:
    try:
        await bus.request(f"ote.local.shim.{kind}", b"{}", timeout=1)
    except NoAnswer:
        return False
    return True


def test_the_python_example_is_short() -> None:
    assert len((EXAMPLES / "shim_python.py").read_text().splitlines()) <= 15


async def test_the_python_example_passes(bus: Bus, nats_server: NatsServer) -> None:
    with running([sys.executable, str(EXAMPLES / "shim_python.py")], nats_server):
        await eventually(lambda: answered(bus, "greet"), what="the example answers")
        findings = await check(bus, "greet", verb="greet", args={"name": "ann"})
    assert failures(findings) == {}
    assert next(finding.message for finding in findings if finding.name == "execute") == "greet: hello ann"


async def test_the_shell_example_passes(bus: Bus, nats_server: NatsServer, tmp_path: Path) -> None:
    nats = tmp_path / "nats"
    nats.write_text(f'#!/bin/sh\nexec {sys.executable} {NATS_CLI} "$@"\n')
    nats.chmod(nats.stat().st_mode | stat.S_IXUSR)
    path = os.pathsep.join((str(tmp_path), os.environ["PATH"]))
    shell = shutil.which("sh") or "/bin/sh"
    with running([shell, str(EXAMPLES / "shim_nats_reply.sh")], nats_server, path):
        await eventually(lambda: answered(bus, "host"), what="the example answers")
        findings = await check(bus, "host", verb="uname", timeout=2)
    assert failures(findings) == {}
    assert "Linux" in next(finding.message for finding in findings if finding.name == "execute")

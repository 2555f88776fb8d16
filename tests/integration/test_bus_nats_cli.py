"""The stand-in for the `nats` command line, as a command and against our client."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bus.client import Bus, NoAnswer
from tests import nats_cli
from tests.support import NatsServer, eventually

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def nats(server: NatsServer, *args: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`nats ARGS`, ended at the end."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.nats_cli",
        *args,
        cwd=ROOT,
        env={**os.environ, "NATS_URL": server.url, "PYTHONPATH": str(ROOT)},
        stdout=pipe,
        stderr=pipe,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def output(server: NatsServer, *args: str) -> str:
    async with nats(server, *args) as process:
        out, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0, err.decode()
        return out.decode()


async def ready(process: asyncio.subprocess.Process, says: bytes) -> None:
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while says not in (line := await process.stderr.readline()):
            assert line, "ended before it was ready"


async def test_req_prints_headers_and_the_answer(nats_server: NatsServer, bus: Bus) -> None:
    await bus.subscribe("echo", lambda message: message.respond(message.data, {**message.headers, "X-By": "us"}))
    await bus.flush()
    said = await output(nats_server, "req", "echo", '{"a": 1}', "-H", "X-Who: me", "--timeout", "5s")
    assert said.splitlines() == ["X-Who: me", "X-By: us", '{"a": 1}']
    assert await output(nats_server, "req", "--raw", "echo", "{{Count}}") == "1\n"


async def test_req_takes_several_answers(nats_server: NatsServer, bus: Bus) -> None:
    for n in range(3):
        await bus.subscribe("all", lambda message, n=n: message.respond(b"%d" % n))  # type: ignore[misc]
    await bus.flush()
    said = await output(nats_server, "req", "all", "", "--raw", "--replies", "3")
    assert sorted(said.split()) == ["0", "1", "2"]


async def test_req_to_nobody(nats_server: NatsServer) -> None:
    assert await output(nats_server, "req", "no.where", "", "--timeout", "30s") == ""


async def test_pub_and_sub(nats_server: NatsServer, bus: Bus) -> None:
    heard: list[tuple[bytes, str]] = []
    await bus.subscribe("up", lambda message: heard.append((message.data, message.reply)))
    await bus.flush()
    async with nats(nats_server, "sub", "down.>", "--count", "1", "--raw") as subscriber:
        await ready(subscriber, b"Subscribing")
        bus.send("down.a", b"hello")
        out, _ = await asyncio.wait_for(subscriber.communicate(), 30)
        assert out == b"hello\n"
    await output(nats_server, "pub", "up", "text")
    await eventually(lambda: heard == [(b"text", "")])


async def test_reply_runs_a_command_with_the_request_in_its_environment(nats_server: NatsServer, bus: Bus) -> None:
    command = "sh -c 'cat; printf \"%s %s {{1}}\" $NATS_REQUEST_SUBJECT $NATS_REQUEST_BODY'"
    async with nats(nats_server, "reply", "shim.>", "--command", command, "-H", "X: y") as replier:
        await ready(replier, b"Listening")
        answer = await bus.request("shim.x", b"ping", timeout=30)
        assert answer.data == b"shim.x ping x"
        assert answer.headers == {"X": "y"}
    await eventually(lambda: _nobody(bus, "shim.x"))


async def _nobody(bus: Bus, subject: str) -> bool:
    try:
        await bus.request(subject, b"", timeout=30)
    except NoAnswer as error:
        return error.no_responders
    return False


async def test_reply_with_text_and_in_the_queue_group_of_the_real_one(nats_server: NatsServer, bus: Bus) -> None:
    async with nats_cli.client(nats_server.url) as one, nats_cli.client(nats_server.url) as two:
        for connection in (one, two):
            await nats_cli.reply(connection, "greet", "hello {{.Request}}")
        answers = await bus.request_many("greet", b"you", timeout=30, stall=0.2)
        assert [answer.data for answer in answers] == [b"hello you"]


@pytest.mark.parametrize("verb", ["ls", "info", "stats", "ping"])
async def test_micro_without_services(nats_server: NatsServer, verb: str) -> None:
    assert await output(nats_server, "micro", verb, "--json", "--timeout", "300ms") == "[]\n"

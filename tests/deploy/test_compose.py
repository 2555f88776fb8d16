"""compose.yaml for real: built, started, cut by docker's own means, healed. `make compose-test`.

Skipped, with the reason, where there is no docker, or the base image cannot be had; `with-docker` sees to both."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leafnodes.ports import free_port
from tests.support import eventually

ROOT = Path(__file__).parents[2]
BASE = os.environ.get("OTE_TEST_BASE", "python:3.11-slim-bookworm")
SITE = "root.region.site"
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("OTE_")}
BUILD = 900.0

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


def run(*words: str, env: dict[str, str] | None = None, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    command = list(words)
    return subprocess.run(
        command, cwd=ROOT, env=env or CLEAN, capture_output=True, text=True, timeout=timeout, check=False
    )


def compose_program() -> list[str]:
    """How compose is called here. Skips where it, or docker, is not."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker on this machine")
    daemon = run("docker", "info", "--format", "{{.ServerVersion}}")
    if daemon.returncode:
        pytest.skip(f"docker does not answer: {daemon.stderr.strip()[:200]}")
    if run("docker", "compose", "version").returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose") is None:
        pytest.skip("there is no docker compose on this machine (version 2 or later)")
    return ["docker-compose"]


def need_base() -> None:
    if run("docker", "image", "inspect", BASE).returncode:
        pulled = run("docker", "pull", "--quiet", BASE, timeout=300)
        if pulled.returncode:
            pytest.skip(f"{BASE} cannot be had: {pulled.stderr.strip()[:200]}")


class Stack:
    """The containers of compose.yaml under a project name of their own."""

    def __init__(self, compose: list[str]) -> None:
        self.project = f"ote-test-{uuid.uuid4().hex[:8]}"
        self.port = free_port()
        self._compose = compose

    def compose(self, *words: str, timeout: float = 120) -> str:
        env = {**CLEAN, "OTE_PORT": str(self.port)}
        done = run(*self._compose, "--project-name", self.project, *words, env=env, timeout=timeout)
        assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def ote(self, at: str, *words: str) -> Any:
        """What `ote` answers in a container."""
        return json.loads(self.compose("exec", "-T", at, "ote", *words, "-o", "json"))

    def docker(self, *words: str) -> str:
        done = run("docker", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def container(self, service: str) -> str:
        return f"{self.project}-{service}-1"

    def states(self) -> dict[str, str]:
        return {row["path"]: row["state"] for row in self.ote("root", "get", "clusters")["clusters"]}

    def attached_to(self) -> str | None:
        """Where the root sees the site."""
        (row,) = (row for row in self.ote("root", "get", "clusters")["clusters"] if row["path"] == SITE)
        return str(row["attached_to"]) if row["state"] == "online" else None


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    compose = compose_program()
    need_base()
    stack = Stack(compose)
    try:
        stack.compose("build", "--build-arg", f"BASE={BASE}", timeout=BUILD)
        stack.compose("up", "--detach", "--wait", timeout=300)
        yield stack
    finally:
        run(*compose, "--project-name", stack.project, "down", "--volumes", "--timeout", "10")


async def all_online(stack: Stack) -> None:
    wanted = {"root": "online", "root.region": "online", SITE: "online"}
    await eventually(lambda: stack.states() == wanted, 90, what="the root sees all online")


async def test_it_comes_up_and_answers_from_the_host(stack: Stack) -> None:
    await all_online(stack)
    command = (sys.executable, "-m", "services.cli", "get", "clusters", "--tree")
    env = {**CLEAN, "PYTHONPATH": str(ROOT), "OTE_SERVER": f"nats://ote:only-here@127.0.0.1:{stack.port}"}
    tree = run(*command, env=env)
    assert tree.stdout.splitlines() == ["root", "└─ region  region", "   └─ site  camera"], tree.stderr
    stranger = run(*command, env={**env, "OTE_SERVER": f"nats://127.0.0.1:{stack.port}"})
    assert stranger.returncode != 0 and "credentials" in stranger.stderr
    assert stack.compose("exec", "-T", "site", "id", "-un").strip() == "ote"


async def test_a_site_that_is_cut_goes_on_and_catches_up(stack: Stack) -> None:
    await all_online(stack)
    network, site = f"{stack.project}_lower", stack.container("site")
    stack.docker("network", "disconnect", network, site)
    await eventually(lambda: stack.states()[SITE] == "offline", 90, what="the root misses the site")
    sent = stack.ote("root", "run", "--on", SITE, "list", "kind=ConfigMap", "--no-wait")
    alone = stack.ote("site", "run", "--on", SITE, "list", "kind=ConfigMap", "--wait", "60s")
    assert alone["summary"] == {"succeeded": 1}
    assert stack.ote("root", "status", sent["id"])["summary"] == {"accepted": 1}
    stack.docker("network", "connect", "--alias", "site", network, site)
    assert stack.ote("root", "status", sent["id"], "--watch")["summary"] == {"succeeded": 1}
    await all_online(stack)


async def test_a_region_that_is_frozen_and_a_site_that_is_started_anew(stack: Stack) -> None:
    await all_online(stack)
    stack.docker("pause", stack.container("region"))
    await eventually(lambda: stack.states()["root.region"] == "offline", 90, what="the root misses the region")
    await eventually(lambda: stack.attached_to() == "root", 90, what="the root takes the site in")
    sent = stack.ote("root", "run", "--on", SITE, "list", "kind=ConfigMap", "--wait", "60s")
    assert sent["summary"] == {"succeeded": 1}
    stack.docker("restart", stack.container("site"))
    stack.docker("unpause", stack.container("region"))
    await eventually(lambda: stack.attached_to() == "root.region", 90, what="the site goes back")
    sent = stack.ote("root", "run", "--on", SITE, "list", "kind=ConfigMap", "--wait", "60s")
    assert sent["summary"] == {"succeeded": 1}
    await all_online(stack)

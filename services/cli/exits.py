"""The exit codes that scripts can trust, and the one border where errors become lines on stderr."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from enum import IntEnum

from bus.errors import OteError
from services.cli.render import safe
from store.errors import StoreError


class Exit(IntEnum):
    """What a command ends with."""

    OK = 0
    FAILED = 1  # it ended at every target, and at one or more not with success
    BAD_INPUT = 2
    NOT_FOUND = 3
    UNAVAILABLE = 4  # no tier, or none that answers
    STILL_OPEN = 5  # the wait is over and targets are open; the command goes on
    REFUSED = 6  # understood and not done: refused, or in conflict with what is there
    INTERNAL = 7
    INTERRUPTED = 130


MEANINGS = {
    Exit.OK: "done",
    Exit.FAILED: "ended without success on at least one target",
    Exit.BAD_INPUT: "bad input",
    Exit.NOT_FOUND: "not found",
    Exit.UNAVAILABLE: "no tier there, or no answer",
    Exit.STILL_OPEN: "the wait is over, targets are still open",
    Exit.REFUSED: "refused, or in conflict with what is there",
    Exit.INTERNAL: "an error inside (OTE_DEBUG=1 shows where)",
    Exit.INTERRUPTED: "interrupted (Ctrl-C)",
}

_BY_CODE = {
    "bad-message": Exit.BAD_INPUT,
    "bad-request": Exit.BAD_INPUT,
    "not-found": Exit.NOT_FOUND,
    "unavailable": Exit.UNAVAILABLE,
    "conflict": Exit.REFUSED,
    "refused": Exit.REFUSED,
}

SUCCESS = "succeeded"
FINAL = frozenset({SUCCESS, "failed", "expired", "superseded", "cancelled", "in-doubt", "refused"})


def of_summary(summary: Mapping[str, int]) -> Exit:
    """What `{state: count}` over a command's targets means for a script that waited for it."""
    states = {state for state, count in summary.items() if count}
    if states - FINAL:
        return Exit.STILL_OPEN
    return Exit.OK if states <= {SUCCESS} else Exit.FAILED


def of_error(error: BaseException) -> Exit:
    """The exit code of an error that ended a command."""
    if isinstance(error, StoreError):
        return Exit.REFUSED
    return _BY_CODE.get(error.code, Exit.INTERNAL) if isinstance(error, OteError) else Exit.INTERNAL


def complain(error: BaseException) -> Exit:
    """Prints what is wrong and what to do, on stderr; the exit code."""
    if os.environ.get("OTE_DEBUG"):
        traceback.print_exception(error)
    if isinstance(error, OteError):
        say_error(error.message, field=error.field, hint=error.hint)
    elif isinstance(error, StoreError):
        say_error(str(error), hint="ote store verify says what is wrong with a log")
    else:
        say_error(f"{type(error).__name__}: {error}", hint="OTE_DEBUG=1 shows where; please report it")
    return of_error(error)


def say_error(message: str, *, field: str | None = None, hint: str | None = None) -> None:
    """One or two lines on stderr."""
    where = f" ({safe(field)})" if field else ""
    print(f"error: {safe(message)}{where}", file=sys.stderr)
    if hint:
        print(f"hint: {safe(hint)}", file=sys.stderr)


def one_error(error: BaseException) -> BaseException:
    """The error that matters in a task group's: the first that is ours, else the first."""
    leaves = list(_leaves(error))
    return next((leaf for leaf in leaves if isinstance(leaf, OteError | StoreError)), leaves[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error

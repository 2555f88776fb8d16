"""Which command changed an object of a shim outside the log: the only one that was at work on it meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.shims.keys import objects_in


class Causes:
    """The commands at work on objects between one look at the objects and the next."""

    def __init__(self) -> None:
        self._objects: dict[str, frozenset[str] | None] = {}
        self._ended: set[str] = set()

    def began(self, command: str, args: Mapping[str, Any]) -> None:
        """A command with these arguments is about to be carried out."""
        self._objects[command] = objects_in(args)

    def ended(self, command: str) -> None:
        """It was."""
        self._ended.add(command)

    def look(self) -> Look:
        """A look at the objects that begins now."""
        return Look(self, set(self._ended))

    def _cause(self, object: Mapping[str, Any]) -> str | None:
        names = objects_in({"manifest": object}) or frozenset()
        suspects = [command for command, touched in self._objects.items() if touched is None or touched & names]
        return suspects[0] if len(suspects) == 1 else None

    def _forget(self, commands: set[str]) -> None:
        self._ended -= commands
        for command in commands:
            self._objects.pop(command, None)


class Look:
    """One look. A command that had ended when it began has nothing to do with what a later one finds."""

    def __init__(self, causes: Causes, ended: set[str]) -> None:
        self._causes = causes
        self._over = ended

    def cause(self, object: Mapping[str, Any]) -> str | None:
        """The command that may have changed the object; None if there is none, or more than one."""
        return self._causes._cause(object)

    def done(self) -> None:
        """All was looked at."""
        self._causes._forget(self._over)

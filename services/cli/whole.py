"""The whole command line at once, for those who describe it: its reference, and what shells complete."""

from __future__ import annotations

from collections.abc import Iterator

from cyclopts import App

from services.cli.main import build


def whole() -> App:
    """The application with every command imported, and helped by its own docstring."""
    app = build(None)
    for _, each in commands(app):
        # What the top says of all parameters holds for each command when it runs; here nothing runs.
        each.default_parameter = app.default_parameter
    return app


def commands(app: App, *names: str) -> Iterator[tuple[tuple[str, ...], App]]:
    """Each command that can be run, by the words that call it, in the order of the help."""
    below = {name: each for name, each in app.resolved_commands().items() if not name.startswith("-")}
    if not below:
        yield names, app
    for name, each in below.items():
        yield from commands(each, *names, name)

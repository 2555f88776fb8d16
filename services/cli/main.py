"""`ote`: every command by name, and the one border where errors become lines and exit codes.

Each command's module is imported when it is used, so that `ote --help` is quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.metadata import version

from cyclopts import App, CycloptsError, Group, Parameter, UnknownCommandError

from services.cli.exits import MEANINGS, Exit, complain, one_error, say_error

_EXITS = "Exit codes: " + "; ".join(f"{code.value} {text}" for code, text in MEANINGS.items()) + "."

_COMMANDS = {
    "Clusters and commands": {
        "get": ("get:app", "Lists clusters, commands, objects or links."),
        "apply": ("apply:apply", "Applies manifests to clusters."),
        "delete": ("apply:delete", "Deletes objects from clusters."),
        "tag": ("tag:tag", "Changes the tags of clusters."),
        "move": ("move:move", "Attaches a cluster to another tier."),
        "drain-tier": ("move:drain_tier", "Sends the children of a tier away, before its maintenance."),
        "run": ("run:run", "Runs a verb of a shim on clusters and shows the results."),
        "ask": ("ask:ask", "Asks clusters live, without a record: what is there now?"),
        "status": ("status:status", "How this tier or one command is doing."),
        "top": ("top:top", "Shows a tier and the clusters below it, live."),
        "doctor": ("doctor.command:doctor", "Says what is wrong, and what to do."),
        "cancel": ("control:cancel", "Takes a command back where it was not delivered."),
        "undo": ("undo:undo", "Brings back what was before an apply or delete."),
        "retry": ("retry:retry", "Tries again what did not succeed at a cluster."),
        "resolve": ("control:resolve", "Decides what is in doubt."),
        "why": ("why:why", "Which command made an object so, from where and by whom."),
        "log": ("log:log", "Prints events of the log."),
    },
    "Tiers": {
        "tier": ("tier:tier", "Runs one tier: its server, its log and its services."),
        "init": ("init:init", "Makes the credentials of the root of a tree."),
        "join-token": ("admission:join_token", "Gives out a token for a new child of a tier."),
        "join": ("join:join", "Makes this machine a tier of the tree that gave the token."),
        "accept": ("admission:accept", "Admits who has a token and waits; or lists who does."),
        "revoke": ("admission:revoke", "Lets a cluster in no more, and cuts its link."),
        "rotate": ("admission:rotate", "Renews the credentials of clusters."),
        "user": ("init:user", "Makes a credential for somebody who asks a tier, or for a shim."),
        "tls": ("tls:app", "Shows and renews the certificates of a tier's server."),
        "shim": ("shim:app", "Checks shims."),
        "store": ("store:app", "Checks, repairs and compacts a tier's log file."),
        "lab": ("lab.commands:app", "Starts and stops a whole tree on this machine."),
        "completion": ("completion:completion", "Makes a shell complete commands and options."),
        "demo": ("demo.command:demo", "Runs the main job end to end on this machine."),
    },
}


def build(chosen: str | None = "") -> App:
    """The application, with each command registered by the place of its code. The chosen command (None: each) is
    helped by its own docstring, which is longer than what stands in the list."""
    app = App(
        name="ote",
        help="Commands to a tree of edge clusters: recorded before they are sent, in order, once.",
        help_epilogue=_EXITS,
        version=lambda: version("ote-bus"),
        default_parameter=Parameter(negative=(), show_default=False),
        suppress_keyboard_interrupt=False,
        result_action="return_value",
        print_error=False,
        exit_on_error=False,
    )
    for order, (title, commands) in enumerate(_COMMANDS.items()):
        group = Group(title, sort_key=order)
        for position, (name, (place, summary)) in enumerate(commands.items()):
            text = None if chosen in (name, None) else summary
            app.command(f"services.cli.{place}", name=name, help=text, group=group, sort_key=position)
    return app


def run(words: Sequence[str]) -> int:
    """Runs one command line (without the program's name); its exit code."""
    try:
        ended = build(next(iter(words), ""))(list(words))
        # What else cyclopts may say, where it printed help by itself, is no verdict.
        return int(ended) if isinstance(ended, Exit) else Exit.OK
    except CycloptsError as error:
        say_error(_message(error), hint=_help_hint(error))
        return Exit.BAD_INPUT
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader has what it wanted (`ote log | head`); Python must not complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Exception as error:
        return complain(one_error(error))


def _message(error: CycloptsError) -> str:
    if isinstance(error, UnknownCommandError) and not error.command_chain and error.unused_tokens:
        # Cyclopts would import every command to say this.
        word = error.unused_tokens[0]
        nearest = get_close_matches(word, [name for commands in _COMMANDS.values() for name in commands], n=1)
        return f"unknown command {word!r}" + (f"; did you mean {nearest[0]}?" if nearest else "")
    return str(error)


def _help_hint(error: CycloptsError) -> str:
    return " ".join(("see: ote", *(error.command_chain or ()), "--help"))


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))

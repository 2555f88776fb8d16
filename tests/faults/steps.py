"""The steps of a command's life, by name, and the functions of the program in which each is taken.

    commit TYPE          the log commits a group in which there is an event of this type
    commit TYPE of PATH  the same, of this source
    publish TYPE         an own event of this type, committed, goes on the bus
    send SUBJECT         a frame leaves: cmd, under, tag or evt
    mail                 mail comes in
    event TYPE           an event of a cluster below comes in
    execute KIND         a shim is asked to carry out a command
    ask KIND             this tier asks an ancestor: hello, compare, mail, held, ship
    take                 mail that an ancestor answered is about to be recorded
    answer KIND          this tier answers one below

A type is its verb: `submitted` is ote.command.submitted.v1. What is here changes nothing but for the
traps: the functions are wrapped, and run as they are.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from bus.client import Bus, Message
from bus.event import Event
from services.controller.answerer import Answerer
from services.controller.asker import Asker
from services.controller.inbound import Inbound
from services.shims.local.shim import LocalShim
from services.shims.remote import RemoteShim
from services.tier.runtime import Runtime
from store.sql.ledger import Ledger
from tests.faults.traps import Trapper

Naming = Callable[..., Iterable[str]]


def wrap_all(trapper: Trapper) -> None:
    """Puts every step under watch; to be called before a tier is made."""
    _wrap(trapper, Ledger, "commit", lambda ledger, *rest: _commits(stored.event for stored in ledger.filed))
    _wrap(trapper, Runtime, "_publish", lambda _, events, *rest: {f"publish {verb(event.type)}" for event in events})
    _wrap(trapper, Bus, "send", lambda _, subject, *rest: [f"send {subject.split('.')[1]}"])
    _wrap(trapper, Inbound, "on_mail", lambda *_: ["mail"])
    _wrap(trapper, Inbound, "_on_events", lambda _, message, *rest: [f"event {_verb_of(message)}"])
    _wrap(trapper, LocalShim, "execute_in", lambda *_: ["execute local"])
    _wrap(trapper, RemoteShim, "execute", lambda shim, *rest: [f"execute {shim.kind}"])
    _wrap(trapper, Asker, "_ask", lambda _, link, ask, *rest: [f"ask {ask.kind}"])
    _wrap(trapper, Asker, "_take", lambda _, bodies, *rest: ["take"] if bodies else [])
    _wrap(trapper, Answerer, "_reply", lambda _, asker, ask, *rest: [f"answer {ask.kind}"])


def verb(type: str) -> str:
    """`submitted` of ote.command.submitted.v1."""
    return type.split(".")[2]


def _commits(events: Iterable[Event]) -> set[str]:
    found = set()
    for event in events:
        found |= {f"commit {verb(event.type)}", f"commit {verb(event.type)} of {event.source}"}
    return found


def _verb_of(message: Message) -> str:
    return message.subject.split(".")[2].split("-", 1)[1]


def _wrap(trapper: Trapper, owner: type, name: str, naming: Naming) -> None:
    run = getattr(owner, name)

    @functools.wraps(run)
    def watched(*args: Any, **named: Any) -> Any:
        steps = list(naming(*args))
        if not trapper.passed(*(f"before {step}" for step in steps)):
            return None
        result = run(*args, **named)
        trapper.passed(*(f"after {step}" for step in steps))
        return result

    @functools.wraps(run)
    async def watched_later(*args: Any, **named: Any) -> Any:
        steps = list(naming(*args))
        trapper.passed(*(f"before {step}" for step in steps))
        result = await run(*args, **named)
        trapper.passed(*(f"after {step}" for step in steps))
        return result

    setattr(owner, name, watched_later if inspect.iscoroutinefunction(run) else watched)

"""What the commands say they did is what was done: the objects of the local shim, change by change.

The local shim writes its changes and the command's final in one transaction, so that in its tier's log
the changes of a command stand directly before its final. Among them are those that the cluster then made by
itself, which no command reports: the pods of a Deployment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bus.event import Event
from bus.types import ANNOUNCED, FINALS, RECEIVED, SUCCEEDED
from services.cli.demo.books import Book, Books
from services.cli.demo.checks.finding import Finding
from services.shims.keys import manifests_in
from services.shims.local.shim import APPLIED, DELETED

EFFECTS = "effects once, and as reported"
CHANGES = frozenset({"created", "configured", "deleted"})


class Key(NamedTuple):
    """An object."""

    kind: str
    namespace: str
    name: str


class Deed(NamedTuple):
    """A command of the local shim that ended, with the changes that were made with it."""

    final: Event
    all: list[Event]
    do: Mapping[str, Any]

    @property
    def changes(self) -> list[Event]:
        """Those that the command itself made."""
        return [event for event in self.all if not _by_cluster(event)]


def effects(books: Books) -> Iterator[Finding]:
    """Changes without a command, commands whose changes differ from their result, objects that are not
    what their last command made them."""
    for book in books:
        if _default_shim(book) is not None:
            for what in _faults(books, book):
                yield Finding(EFFECTS, book.path, what)


def _faults(books: Books, book: Book) -> Iterator[str]:
    deeds: list[Deed] = []
    pending: list[Event] = []
    for event in (event for event in book.events if event.source == book.path):
        if event.type in (APPLIED, DELETED):
            pending.append(event)
        elif event.type in FINALS:
            deeds.append(Deed(event, pending, _do(books, event)))
            pending = []
        elif pending:
            deeds.append(Deed(event, pending, {}))
            if asked := deeds[-1].changes:
                yield f"{_named(asked)} changed without a command"
            pending = []
    if pending:
        deeds.append(Deed(pending[-1], pending, {}))
    local = _default_shim(book) == "local"
    deeds = [deed for deed in deeds if deed.all or deed.do.get("shim", "local" if local else "") == "local"]
    for deed in deeds:
        if deed.final.type in FINALS:
            yield from _as_reported(deed)
    yield from _in_order(book, deeds)
    yield from _standing(book, deeds)


def _default_shim(book: Book) -> str | None:
    """The kind that runs commands which name none; None where there is no shim."""
    shims: list[Mapping[str, Any]] = []
    for event in book.events:
        if event.type == ANNOUNCED and event.source == book.path:
            shims = event.data["shims"]
    return next((shim["kind"] for shim in shims if shim.get("default")), None)


def _do(books: Books, final: Event) -> Mapping[str, Any]:
    command = books.commands.get(final.data["command"])
    return command.data["do"] if command else {}


def _as_reported(deed: Deed) -> Iterator[str]:
    reported = Counter(key for key, result in _results(deed.final) if result in CHANGES)
    made = Counter(map(_key, deed.changes))
    if made != reported:
        command = deed.final.data["command"]
        yield f"command {command} reports changes of {_listed(reported)}, and made changes of {_listed(made)}"


def _results(final: Event) -> list[tuple[Key, str]]:
    """What a final of the local shim says of each object."""
    result = final.data.get("result")
    if final.type != SUCCEEDED or not isinstance(result, Mapping) or not isinstance(result.get("objects"), list):
        return []
    return [(Key(one["kind"], one["namespace"], one["name"]), one["result"]) for one in result["objects"]]


def _key(event: Event) -> Key:
    if event.type == DELETED:
        return Key(event.data["kind"], event.data["namespace"], event.data["name"])
    metadata = event.data["object"]["metadata"]
    return Key(event.data["object"]["kind"], metadata.get("namespace", ""), metadata["name"])


def _by_cluster(event: Event) -> bool:
    return event.data.get("by") == "cluster"


def _in_order(book: Book, deeds: list[Deed]) -> Iterator[str]:
    """Commands on one object take effect in the order in which they were received."""
    turn = {
        event.data["command"]: (event.epoch, event.seq or 0)
        for event in book.events
        if event.type == RECEIVED and event.source == book.path
    }
    latest: dict[Key, tuple[str, int]] = {}
    for deed in deeds:
        place = turn.get(str(deed.final.data.get("command")))
        for key in map(_key, deed.changes):
            if place is not None and place < latest.get(key, place):
                yield f"command {deed.final.data['command']} changed {_name(key)} after a later one had"
            latest[key] = max(place, latest.get(key, place)) if place is not None else latest.get(key, ("", 0))


def _standing(book: Book, deeds: list[Deed]) -> Iterator[str]:
    """The objects are those that the events leave, and hold what was applied to them last."""
    left: dict[tuple[str, Key], dict[str, Any]] = {}
    wanted: dict[Key, Mapping[str, Any]] = {}
    for deed in deeds:
        for event in deed.all:
            if event.type == APPLIED:
                left[event.data["object"]["apiVersion"], _key(event)] = event.data["object"]
            else:
                left.pop((event.data["apiVersion"], _key(event)), None)
                wanted.pop(_key(event), None)
        if deed.do.get("verb") == "apply":
            documents = [document for _, document in manifests_in(deed.do.get("args") or {})]
            wanted.update(zip((key for key, _ in _results(deed.final)), documents, strict=False))
        else:
            for key in map(_key, deed.changes):
                wanted.pop(key, None)
    there = {(one["apiVersion"], _key_of(one)): one for one in book.objects}
    for one in left.keys() ^ there.keys():
        yield f"{_name(one[1])} is {'missing' if one in left else 'there'}, and should not be"
    for one in left.keys() & there.keys():
        if left[one] != there[one]:
            yield f"{_name(one[1])} is not what the last change made it"
    objects = {key: one for (_, key), one in there.items()}
    for key, manifest in wanted.items():
        if key in objects and not holds(objects[key], manifest):
            yield f"{_name(key)} does not hold what was applied last"


def _key_of(one: Mapping[str, Any]) -> Key:
    return Key(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"])


def holds(there: Any, wanted: Any) -> bool:
    """Whether all that is wanted is there; others may have added more."""
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(
            value is None or (name in there and holds(there[name], value)) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(there, list) and all(any(holds(item, one) for item in there) for one in wanted)
    return bool(there == wanted)


def _named(events: list[Event]) -> str:
    return _listed(Counter(map(_key, events)))


def _listed(keys: Counter[Key]) -> str:
    return ", ".join(_name(key) for key in keys.elements()) or "nothing"


def _name(key: Key) -> str:
    return f"{key.kind}/{key.name}"


def counts(books: Books) -> dict[str, int]:
    """How many changes were made, and how many objects there are."""
    changes = sum(event.type in (APPLIED, DELETED) for book in books for event in book.events)
    return {"changes": changes, "objects": sum(len(book.objects) for book in books)}

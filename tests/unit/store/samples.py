"""Events for tests of the store: what an origin, a target or a tier on the way would write."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from bus.event import Addressee, Cover, Draft, Event, new_id

EPOCH = "00000001.00000000000000aa"
LATER = "00000002.00000000000000bb"


def sample(n: int = 0, *, shared: bool = True, **attributes: Any) -> Draft:
    """A draft that no projection wants."""
    return Draft(
        type="ote.test.sample.v1", subject="ote.evt.test-sample.root", data={"n": n}, shared=shared, **attributes
    )


def submitted(
    command: str,
    to: Iterable[tuple[str, int]],
    *,
    key: str | None = None,
    covers: Iterable[tuple[str, int, str]] = (),
    **attributes: Any,
) -> Draft:
    """`command` for these (target, number); it stands for the (target, number, command) in `covers`."""
    addressees = tuple(Addressee(path, number, "") for path, number in to)
    data: dict[str, Any] = {"command": command, "selector": "all", "digest": "d", "count": len(addressees)}
    data["do"] = {"verb": "apply", "args": {"raw": b"\xff"}}
    if key is not None:
        data["key"] = key
    return Draft(
        type="ote.command.submitted.v1",
        subject="ote.cmd.x",
        data=data,
        to=addressees,
        supersedes=_covers(covers),
        **attributes,
    )


def cancel(
    command: str, to: Iterable[tuple[str, int]], covers: Iterable[tuple[str, int, str]], **attributes: Any
) -> Draft:
    """A cancel of `command`, itself mail at these (target, number)."""
    addressees = tuple(Addressee(path, number, "") for path, number in to)
    data = {"command": command}
    return Draft(
        type="ote.command.cancel.v1",
        subject="ote.cmd.x",
        data=data,
        to=addressees,
        supersedes=_covers(covers),
        **attributes,
    )


def _covers(covers: Iterable[tuple[str, int, str]]) -> tuple[Cover, ...]:
    return tuple(Cover(path, number, command, b"c" * 16) for path, number, command in covers)


def report(state: str, command: str, **attributes: Any) -> Draft:
    """What a target says of a command: `received`, `started`, or a final."""
    data: dict[str, Any] = {"command": command}
    for name in ("result", "error", "origin", "number"):
        if name in attributes:
            data[name] = attributes.pop(name)
    return Draft(type=f"ote.command.{state}.v1", subject=f"ote.evt.command-{state}.x", data=data, **attributes)


def stored(*commands: str, **attributes: Any) -> Draft:
    """A tier on the way says that it stored these commands."""
    return Draft(type="ote.command.stored.v1", subject="ote.evt.x", data={"commands": list(commands)}, **attributes)


def cluster(event: str, path: str, **data: Any) -> Draft:
    """`announced`, `joined`, `online` or `offline` of a cluster."""
    attributes = {"time": data.pop("time")} if "time" in data else {}
    return Draft(type=f"ote.cluster.{event}.v1", subject="ote.evt.x", data={"path": path, **data}, **attributes)


class Source:
    """Another tier, whose sealed events come to the log under test in whatever order a test likes."""

    def __init__(self, path: str, epoch: str = EPOCH) -> None:
        self.path = path
        self.epoch = epoch
        self.seq = 0
        self.numbers: dict[str, int] = defaultdict(int)

    def seal(self, draft: Draft) -> Event:
        """The draft at the next place of this source."""
        if not draft.shared:
            return draft.seal(self.path, self.epoch, None)
        self.seq += 1
        return draft.seal(self.path, self.epoch, self.seq)

    def samples(self, count: int) -> list[Event]:
        """So many events."""
        return [self.seal(sample(n)) for n in range(count)]

    def command(self, *targets: str, command: str | None = None, **attributes: Any) -> Event:
        """A command for these targets, each at the next number of its mailbox."""
        return self.seal(submitted(command or new_id(), self.mail(*targets), **attributes))

    def mail(self, *targets: str) -> list[tuple[str, int]]:
        """Each target with the next number of its mailbox."""
        for target in targets:
            self.numbers[target] += 1
        return [(target, self.numbers[target]) for target in targets]

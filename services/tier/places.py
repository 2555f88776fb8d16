"""Where this cluster may attach, and where it was told to belong, as its own log says."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from bus import paths
from bus.event import Event
from bus.sync import Family
from bus.types import ALTERNATES, PREFERRED
from store.api import Reader


def family(reader: Reader[Event]) -> Family:
    """What this cluster was told last of the tiers near it."""
    try:
        return Family.model_validate(_last(reader, ALTERNATES).get("family"))
    except ValidationError:
        return Family()


def known(reader: Reader[Event]) -> list[str]:
    """The tiers to which this cluster could attach, its own parent first."""
    near = family(reader)
    own = paths.parent(reader.source)
    others = [*near.uncles, *([near.grandparent] if near.grandparent else [])]
    return [own, *(one.path for one in others)] if own is not None else []


def preferred(reader: Reader[Event]) -> str | None:
    """The tier to which it was told to belong; None: its parent."""
    said = _last(reader, PREFERRED).get("parent")
    return said if isinstance(said, str) else None


def _last(reader: Reader[Event], kind: str) -> dict[str, Any]:
    found = reader.events(types=(kind,), source=reader.source, latest=True, limit=1)
    return dict(found[-1].event.data) if found else {}

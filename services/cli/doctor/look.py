"""What a tier says at one moment, as the doctor asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Look:
    """What a tier says at one moment: its status, its clusters, and what its log tells of twins, of forks, of what was
    not believed, of logs that were lost, and of floods. `links` is empty where nothing is wrong with them, or the tier
    is of a version that does not tell."""

    status: Answer
    clusters: Sequence[Answer]
    refused: Sequence[Answer]
    forked: Sequence[Answer]
    rejected: Sequence[Answer] = ()
    renewed: Sequence[Answer] = ()
    flooded: Sequence[Answer] = ()
    links: Answer = field(default_factory=dict)

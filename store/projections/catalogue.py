"""All projections that a log keeps."""

from __future__ import annotations

from store.projections.base import Projection
from store.projections.clusters import Clusters
from store.projections.commands import Commands
from store.projections.keys import Keys
from store.projections.objects import Objects
from store.projections.observed import ObservedObjects


def projections(source: str) -> list[Projection]:
    """The projections of the log of the tier `source`."""
    return [Commands(source), Clusters(source), Objects(source), ObservedObjects(), Keys()]

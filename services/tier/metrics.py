"""`/metrics` of one tier: what its services tell, gathered when somebody asks.

Nothing is counted for it on the way of a command: a source reads what is there anyway. A tier has its own
sources and no global registry, so that many tiers may run in one process.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Iterable

from prometheus_client import ProcessCollector
from prometheus_client.core import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

Source = Callable[[], Awaitable[Iterable[Metric]]]


class Metrics:
    """What a tier tells of itself; `url` is where, None where it tells nothing."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self.url: str | None = None
        # One at a time: whoever asks too often waits, and the log has its readers for others.
        self._turn = asyncio.Lock()

    async def page(self, accept: str, *, compressed: bool) -> tuple[str, bytes]:
        """(content type, body) in the format that these `Accept` names, else in the plain one."""
        async with self._turn:
            families = [family for source in self.sources for family in await source()]
            return await asyncio.to_thread(_written, families, accept, compressed)


class _Gathered(Collector):
    """What was gathered, as the encoders want it."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """The families, then those of this process."""
        yield from self._families
        yield from ProcessCollector(registry=None).collect()


def _written(families: Iterable[Metric], accept: str, compressed: bool) -> tuple[str, bytes]:
    encode, kind = choose_encoder(accept)
    registry = CollectorRegistry()
    registry.register(_Gathered(families))
    body = encode(registry)
    return kind, gzip.compress(body, 1) if compressed else body

"""Families of Prometheus metrics, each series with the path of its tier."""

from __future__ import annotations

from collections.abc import Mapping
from math import isinf
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from store.times import Times

#: The value of a label, or those of several.
Key = TypeVar("Key", bound=str | tuple[str, ...])


class Families(list[Metric]):
    """The families of one tier, in the order in which they were told."""

    def __init__(self, tier: str) -> None:
        super().__init__()
        self._tier = tier

    def gauge(self, name: str, words: str, values: float | Mapping[Key, float], *labels: str) -> None:
        """What goes up and down."""
        self._add(GaugeMetricFamily(name, words, labels=["tier", *labels]), values)

    def counter(self, name: str, words: str, values: float | Mapping[Key, float], *labels: str) -> None:
        """What only grows, from zero with each start; the name without its `_total`."""
        self._add(CounterMetricFamily(name, words, labels=["tier", *labels]), values)

    def histogram(self, name: str, words: str, times: Times) -> None:
        """How long something took."""
        family = HistogramMetricFamily(name, words, labels=["tier"])
        buckets = [("+Inf" if isinf(bound) else str(bound), float(count)) for bound, count in times.within()]
        family.add_metric([self._tier], buckets, times.total)
        self.append(family)

    def _add(self, family: GaugeMetricFamily | CounterMetricFamily, values: float | Mapping[Key, float]) -> None:
        for key, value in values.items() if isinstance(values, Mapping) else [((), values)]:
            family.add_metric([self._tier, *([key] if isinstance(key, str) else key)], value)
        self.append(family)

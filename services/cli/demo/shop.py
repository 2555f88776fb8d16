"""The small shop that the demo runs: its manifests, and what its people change."""

from __future__ import annotations

import copy
from importlib.resources import as_file, files
from random import Random
from typing import Any

from services.cli.manifests import Manifest, read_manifests

CHANGE = "shop.example/change"


def manifests() -> list[Manifest]:
    """The whole shop, as `ote apply -f` reads it."""
    with as_file(files("services.cli.demo") / "manifests") as directory:
        return read_manifests([str(directory)])


class Shop:
    """What the three who command it change: head office the prices and the web shop's image, the region how much
    of the checkout it runs, a site its hours. Each change carries its author and a number that only grows."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._objects = {(one["kind"], one["metadata"]["name"]): one for one in manifests()}
        self._made: dict[str, int] = {}

    def from_root(self, origin: str) -> list[Manifest]:
        """New prices, and now and then a new image."""
        catalog = self._changed(origin, "ConfigMap", "catalog")
        for item in ("bread", "coffee", "honey"):
            catalog["data"][item] = f"{self._random.uniform(1, 9):.2f}"
        changes = [catalog]
        if self._random.random() < 0.4:
            web = self._changed(origin, "Deployment", "web")
            web["spec"]["template"]["spec"]["containers"][0]["image"] = f"registry.example/shop/web:1.0.{self._count}"
            changes.append(web)
        return changes

    def from_region(self, origin: str) -> list[Manifest]:
        """As many checkouts as the day needs."""
        checkout = self._changed(origin, "Deployment", "checkout")
        checkout["spec"]["replicas"] = self._random.randint(1, 9)
        return [checkout]

    def from_site(self, origin: str) -> list[Manifest]:
        """Today's hours."""
        hours = self._changed(origin, "ConfigMap", "opening-hours")
        hours["data"]["closes"] = f"{self._random.randint(16, 22):02d}:00"
        return [hours]

    @property
    def _count(self) -> int:
        return sum(self._made.values())

    def _changed(self, origin: str, kind: str, name: str) -> dict[str, Any]:
        self._made[origin] = self._made.get(origin, 0) + 1
        one: dict[str, Any] = copy.deepcopy(self._objects[kind, name])
        one["metadata"].setdefault("annotations", {})[CHANGE] = f"{origin} {self._made[origin]}"
        return one

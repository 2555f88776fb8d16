"""Amounts of resources as Kubernetes writes them: `100m`, `1.5`, `128Mi`, `1G`, `12e6`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from typing import Any, Final, TypeAlias

from bus.paths import shown
from services.shims.local.faults import Fault

Amounts: TypeAlias = dict[str, int]
"""Resource by name: cpu in thousandths of a core, everything else in units (bytes, devices, pods)."""

_QUANTITY = re.compile(r"([+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30}))(?:([KMGTPE]i|[numkMGTPE])|[eE]([+-]?\d{1,2}))?")
_DECIMAL = {suffix: Fraction(1000) ** power for power, suffix in enumerate("num kMGTPE", -3)}
_BINARY = {f"{suffix}i": Fraction(1024) ** power for power, suffix in enumerate("KMGTPE", 1)}
_SCALES: Final[Mapping[str, Fraction]] = {"": Fraction(1), **_DECIMAL, **_BINARY}


def quantity(value: Any) -> Fraction:
    """The number that this text or number is. ValueError if it is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"{shown(value)}: must be a quantity, such as 100m, 1.5 or 128Mi")
    number, suffix, exponent = found.groups()
    return Fraction(number) * (Fraction(10) ** int(exponent) if exponent else _SCALES[suffix or ""])


def amount(resource: str, value: Any) -> int:
    """So much of this resource, rounded up. ValueError if it can not be had."""
    exact = quantity(value) * (1000 if resource == "cpu" else 1)
    if exact < 0:
        raise ValueError(f"{shown(value)}: must be greater than or equal to 0")
    if exact.denominator != 1 and ("/" in resource or resource == "pods"):
        raise ValueError(f"{shown(value)}: must be an integer")
    return ceil(exact)


def amounts(value: Any, field: str) -> Amounts:
    """The amounts in a map of resources; none where there is no map. Fault if one is wrong."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Fault(field, f"Invalid value: {shown(value)}: must be a map of resources")
    found: Amounts = {}
    for resource, many in value.items():
        try:
            found[resource] = amount(str(resource), many)
        except ValueError as error:
            raise Fault(f"{field}[{resource}]", f"Invalid value: {error}") from None
    return found


def plus(one: Mapping[str, int], other: Mapping[str, int]) -> Amounts:
    """Both together."""
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def most(one: Mapping[str, int], other: Mapping[str, int]) -> Amounts:
    """Of each resource the larger amount."""
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}

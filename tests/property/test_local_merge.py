"""Laws of the local shim's apply over random manifests and managers."""

from __future__ import annotations

import random
from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.shims.local.fields import canonical
from services.shims.local.objects import Stamp, applied

scalars = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a", "b"])
names = st.sampled_from(["a", "b", "env", "ports", "containers", "args"])


def lists(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    key = st.sampled_from([("name", "a"), ("name", "b"), ("name", "c"), ("port", 1), ("containerPort", 1)])
    item = st.builds(lambda key, rest: dict([key]) | rest, key, st.dictionaries(names, inner, max_size=2))
    return st.lists(item, max_size=3) | st.lists(scalars, max_size=2)


values = st.recursive(scalars, lambda inner: st.dictionaries(names, inner, max_size=3) | lists(inner), max_leaves=12)
specs = st.dictionaries(names, values, max_size=4)
managers = st.sampled_from(["one", "two", "three"])
histories = st.lists(st.tuples(managers, specs), max_size=5)


def stamp(number: int) -> Stamp:
    return Stamp("uid", str(number), "2026-11-23T06:00:00Z")


def apply(live: dict[str, Any] | None, manager: str, spec: dict[str, Any]) -> dict[str, Any]:
    manifest = {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": spec}
    return applied(live, manifest, manager, stamp(int(live["metadata"]["resourceVersion"]) + 1 if live else 1))


def after(history: list[tuple[str, dict[str, Any]]]) -> dict[str, Any] | None:
    live = None
    for manager, spec in history:
        live = apply(live, manager, spec)
    return live


def without_nulls(value: Any) -> Any:
    """What a manifest says once its nulls, which only remove, are left out; atomic lists keep theirs."""
    if isinstance(value, dict):
        return {key: without_nulls(part) for key, part in value.items() if part is not None}
    return value


def shuffled(value: Any, order: random.Random) -> Any:
    if isinstance(value, dict):
        items = [(key, shuffled(part, order)) for key, part in value.items()]
        order.shuffle(items)
        return dict(items)
    return [shuffled(part, order) for part in value] if isinstance(value, list) else value


@given(histories, managers, specs)
def test_twice_is_once(history: list[tuple[str, dict[str, Any]]], manager: str, spec: dict[str, Any]) -> None:
    once = apply(after(history), manager, spec)
    assert apply(once, manager, deepcopy(spec)) is once


@given(histories, managers, specs)
def test_applying_changes_neither_what_is_there_nor_the_manifest(
    history: list[tuple[str, dict[str, Any]]], manager: str, spec: dict[str, Any]
) -> None:
    live = after(history)
    before = canonical([live, spec])
    apply(live, manager, spec)
    assert canonical([live, spec]) == before


@given(histories, managers, specs, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(
    history: list[tuple[str, dict[str, Any]]], manager: str, spec: dict[str, Any], order: random.Random
) -> None:
    live = after(history)
    assert canonical(apply(live, manager, spec)) == canonical(apply(live, manager, shuffled(spec, order)))


@given(st.lists(specs, max_size=4), specs)
def test_a_single_manager_gets_what_it_says_last(earlier: list[dict[str, Any]], spec: dict[str, Any]) -> None:
    live = after([("one", before) for before in earlier])
    assert canonical(apply(live, "one", spec)["spec"]) == canonical(apply(None, "one", spec)["spec"])


@given(histories, managers, specs)
def test_what_is_set_is_there(history: list[tuple[str, dict[str, Any]]], manager: str, spec: dict[str, Any]) -> None:
    def there(wanted: Any, found: Any, at: str = "") -> None:
        if isinstance(wanted, dict):
            for key, part in wanted.items():
                if part is None:
                    assert key not in found
                else:
                    there(part, found[key], key)
        elif isinstance(wanted, list):
            assert isinstance(found, list) and len(found) >= len(wanted)
        else:
            assert canonical(found) == canonical(wanted)

    there(spec, apply(after(history), manager, spec)["spec"])


@given(histories)
def test_no_field_is_there_that_nobody_owns(history: list[tuple[str, dict[str, Any]]]) -> None:
    """When every manager withdraws, nothing is left but what they never owned."""
    live = after(history)
    for manager in ("one", "two", "three"):
        if live:
            live = applied(live, {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "x"}}, manager, stamp(99))
    if live:
        assert live["metadata"]["managedFields"] == []
        assert _leaves(live.get("spec", {})) == []


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in _leaves(part)]
    return [] if value == [] else [value]

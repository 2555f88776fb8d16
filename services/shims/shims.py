"""Which shim a kind is: the local one in this process, any other whoever answers on the bus."""

from __future__ import annotations

from collections.abc import Sequence

from services.shims.job import AnyShim
from services.shims.local import LocalShim
from services.shims.remote import RemoteShim
from services.tier.runtime import Runtime


def make_shims(runtime: Runtime, kinds: Sequence[str]) -> list[AnyShim]:
    """The shims of this cluster, in order."""
    return [_make(runtime, kind) for kind in kinds]


def _make(runtime: Runtime, kind: str) -> AnyShim:
    if kind == LocalShim.kind:
        return LocalShim(runtime.log, runtime.settings.nodes)
    return RemoteShim(runtime.bus, kind)

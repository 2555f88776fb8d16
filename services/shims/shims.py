"""Which shim a kind is: the local one and commands in this process, any other whoever answers on the bus."""

from __future__ import annotations

from collections.abc import Sequence

from bus.errors import BadRequest
from services.shims.command import CommandShim, read_programs
from services.shims.job import AnyShim
from services.shims.local import LocalShim
from services.shims.remote import RemoteShim
from services.tier.runtime import Runtime


def make_shims(runtime: Runtime, kinds: Sequence[str]) -> list[AnyShim]:
    """The shims of this cluster, in order. BadRequest if a setting of one is wrong."""
    if runtime.settings.commands is not None and CommandShim.kind not in kinds:
        raise BadRequest("there are commands and no shim to run them", field="commands", hint="add --shim command")
    return [_make(runtime, kind) for kind in kinds]


def _make(runtime: Runtime, kind: str) -> AnyShim:
    if kind == LocalShim.kind:
        return LocalShim(runtime.log, runtime.settings.nodes)
    if kind == CommandShim.kind:
        if runtime.settings.commands is None:
            raise BadRequest("the shim command has no file of commands", field="commands", hint="add --commands FILE")
        return CommandShim(read_programs(runtime.settings.commands))
    return RemoteShim(runtime.bus, kind)

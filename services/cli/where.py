"""Which tier a command talks to: `--server`, `--lab`, their environment variables, or the lab of this directory."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus.errors import BadRequest, NotFound, Unavailable
from services.cli.options import Common

DEFAULT_LAB = Path(".ote-lab")
STATE_FILE = "lab.json"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tier is: its NATS URL, its state directory where it is known to be on this machine, and the file of the
    credential with which it is asked, if that takes one."""

    url: str
    state: Path | None = None
    creds: Path | None = None


def server_url(common: Common, environ: Mapping[str, str] = os.environ) -> str:
    """The NATS URL to connect to. What is typed wins over the environment, a URL over a lab, and either over the
    lab of this directory; `--tier` always means a tier of a lab."""
    return place(common, environ).url


def place(common: Common, environ: Mapping[str, str] = os.environ) -> Place:
    """The tier to talk to, by the same rules."""
    if common.server and (common.tier or common.lab):
        other = "--tier" if common.tier else "--lab"
        raise BadRequest(f"--server and {other} exclude each other", field=other, hint="leave one of the two out")
    named = common.lab or Path(environ.get("OTE_LAB") or DEFAULT_LAB)
    if common.lab or common.tier:
        return _in_lab(named, common.tier)
    if url := common.server or environ.get("OTE_SERVER"):
        file = common.creds or environ.get("OTE_CREDS")
        return Place(url, creds=Path(file) if file else None)
    if environ.get("OTE_LAB") or (named / STATE_FILE).exists():
        return _in_lab(named, None)
    raise Unavailable("no tier to talk to", hint="give --server URL, set OTE_SERVER, or start a lab: ote lab up")


def _in_lab(directory: Path, path: str | None) -> Place:
    tiers = lab_tiers(directory)
    path = path or min(tiers, key=lambda path: (path.count("."), path))
    if path not in tiers:
        raise NotFound(f"the lab has no tier {path}", field="--tier", hint=f"it has {', '.join(sorted(tiers))}")
    log = tiers[path].get("log")
    return Place(str(tiers[path]["nats"]), Path(log).parent if log else None)


def lab_tiers(directory: Path) -> dict[str, dict[str, Any]]:
    """`{PATH: {"nats": URL, "metrics": URL, "pids": [...], "log": FILE}}` of the lab in this directory; never empty."""
    file = directory / STATE_FILE
    try:
        tiers = json.loads(file.read_text())["tiers"]
        if not tiers or not all("nats" in tier for tier in tiers.values()):
            raise ValueError("it names no tiers with their nats URL")
    except FileNotFoundError:
        raise Unavailable(
            f"no lab in {directory}: there is no {STATE_FILE}",
            field="--lab",
            hint=f"start one: ote lab up{_elsewhere(directory)}",
        ) from None
    except OSError as error:
        raise Unavailable(f"{file} cannot be read: {error.strerror}", field="--lab") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        hint = f"stop what runs of it: ote lab down --state {directory}; ote lab up writes it anew"
        raise BadRequest(f"{file} is no lab's state: {error}", field="--lab", hint=hint) from None
    return dict(tiers)


def _elsewhere(directory: Path) -> str:
    return "" if directory == DEFAULT_LAB else f" --state {directory}"

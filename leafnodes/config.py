"""The configuration of one tier's nats-server.

Why it says what it says:
- All servers that are attached to one depth share a cluster name, without a cluster port: siblings then do not see
  each other's interest, and moving between parents raises no false "loop detected", which costs 30 s. Who is
  attached farther up than to its own parent takes the name that is usual there.
- A remote tries its addresses in the order given (`no_randomize`) and no others: addresses that a
  parent tells would come first and slow the way back down. For the same reason none are told.
- Short pings notice a dead link sooner, and lose data on a slow one, where a ping waits behind bulk.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urldefrag, urlsplit, urlunsplit

from bus import paths
from bus.errors import BadRequest
from leafnodes.auth import NEVER_CROSS, LinkAuth, netloc
from leafnodes.text import array, duration, quote
from leafnodes.tls import Tls

Compression = Literal["auto", "off", "accept", "s2_auto", "s2_fast", "s2_better", "s2_best"]
COMPRESSIONS: tuple[str, ...] = get_args(Compression)

LOOPBACK = "127.0.0.1"
RECONNECT = 0.1
PINGS_MISSED = 2
DEFAULT_PORT = 7422
SCHEMES = ("nats-leaf", "nats", "tls")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What a site may set about its links.

    `compression`: "auto" is off where the parent's address is loopback or private, else s2_auto.
    `ping_interval`, `write_deadline`: seconds; a silent peer is dropped after three intervals.
    `max_payload`: bytes of one message, headers included; equal on all tiers of a tree."""

    compression: Compression = "auto"
    ping_interval: float = 5.0
    max_payload: int = 1024 * 1024
    write_deadline: float = 10.0

    def __post_init__(self) -> None:
        if self.compression not in COMPRESSIONS:
            raise BadRequest(f"{self.compression!r} is none of {', '.join(COMPRESSIONS)}", field="compression")
        for name in ("ping_interval", "max_payload", "write_deadline"):
            if getattr(self, name) <= 0:
                raise BadRequest(f"{name} must be above 0", field=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """All that the configuration of one server is made of. Clients and children reach it at `host`,
    the monitoring is on loopback. `parents` are leaf urls, in the order in which they are tried."""

    path: paths.Path
    server_name: str
    client_port: int
    leaf_port: int
    monitor_port: int
    auth: LinkAuth
    pid_file: Path
    log_file: Path
    host: str = LOOPBACK
    parents: tuple[str, ...] = ()
    level: int | None = None
    """One more than the depth of the tier it is attached to, where that is not its parent."""
    at: str | None = None
    """The path of that tier."""
    tuning: Tuning = Tuning()
    tls: Tls | None = None


def parent_urls(parent: str | Sequence[str] | None) -> tuple[str, ...]:
    """The leaf urls to dial, in order. BadRequest on a wrong one, without showing its password."""
    urls = (parent,) if isinstance(parent, str) else tuple(parent or ())
    if not all(map(_can_be_dialled, urls)):
        hint = "a parent looks like nats-leaf://user:password@host:port, the password percent-encoded"
        raise BadRequest("the parent's url is wrong", field="parent", hint=hint)
    return urls


def at_address(url: str, address: str) -> str:
    """The leaf url with the same login, but at `address`: host:port, and `#` with its authority, if that is another."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    place, word = urldefrag(address)
    return urlunsplit(parts._replace(netloc=f"{login}@{place}" if login else place, fragment=word or parts.fragment))


def address_of(url: str) -> str:
    """host:port of a leaf url."""
    parts = urlsplit(url)
    return netloc(parts.hostname or "", parts.port or DEFAULT_PORT)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    address = _address(host)
    return address.is_loopback if address else host == "localhost"


def render(config: ServerConfig) -> str:
    """The text of the configuration file."""
    tuning = config.tuning
    return f"""\
server_name: {quote(config.server_name)}
host: {quote(config.host)}
port: {config.client_port}
http: {quote(netloc(LOOPBACK, config.monitor_port))}
pid_file: {quote(str(config.pid_file))}
log_file: {quote(str(config.log_file))}
logfile_size_limit: 10MB
logfile_max_num: 3
ping_interval: {duration(tuning.ping_interval)}
ping_max: {PINGS_MISSED}
max_payload: {tuning.max_payload}
write_deadline: {duration(tuning.write_deadline)}
{config.tls.ports(leaf=False) if config.tls else ""}
cluster {{ name: "ote-t{config.level or paths.depth(config.path)}" }}
{config.auth.admission()}
leafnodes {{
  host: {quote(config.host)}
  port: {config.leaf_port}
  no_advertise: true
  reconnect: {duration(RECONNECT)}
  compression: {_hub_compression(tuning.compression)}
  {config.tls.ports(leaf=True) if config.tls else ""}
  remotes: [{_remote(config)}]
}}
"""


def _remote(config: ServerConfig) -> str:
    if not config.parents:
        return ""
    return f"""
    {{
{config.auth.remote([urldefrag(url)[0] for url in config.parents], config.at or paths.parent(config.path) or "")}
{config.tls.remote(config.parents) if config.tls else ""}      no_randomize: true
      ignore_discovered_servers: true
      compression: {_link_compression(config.tuning.compression, config.parents)}
      deny_imports: {array(NEVER_CROSS)}
      deny_exports: {array(NEVER_CROSS)}
    }}
  """


def _hub_compression(wanted: Compression) -> str:
    # The child knows whether its link is a long one: the hub follows what it asks for.
    return "accept" if wanted == "auto" else wanted


def _link_compression(wanted: Compression, parents: Sequence[str]) -> str:
    if wanted != "auto":
        return wanted
    return "off" if all(_is_near(url) for url in parents) else "s2_auto"


def _is_near(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    address = _address(host)
    return address.is_private if address else host == "localhost"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _can_be_dialled(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in SCHEMES and bool(parts.hostname) and port != 0 and not any(map(str.isspace, url))

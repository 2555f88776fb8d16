"""Who may connect to a server and over a leaf link, and as whom this server dials its parent.

This is the seam between user and password and per-cluster credentials (`credentials/`): a `LinkAuth` writes
the two places of a configuration that differ, the admission block of a hub and the identity lines of
a remote. What never crosses a link is denied twice: at the hub by the permissions of the child's
user, which is the border, and at the child by its remote, which spares the link the traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote as percent

from bus import subjects
from leafnodes.text import array, quote

ACCOUNT = "OTE"
SYSTEM = "SYS"
NEVER_CROSS = ("ote.local.>", "$SRV.>")
LOCAL_USER = "local"
_CONNECTIONS = f"$SYS.ACCOUNT.{ACCOUNT}.>"
_TOLD = subjects.server_events()


@dataclass(frozen=True, slots=True)
class Login:
    """A user and its password; never empty."""

    user: str
    password: str

    def url(self, scheme: str, host: str, port: int) -> str:
        """`scheme://user:password@host:port`."""
        return f"{scheme}://{percent(self.user, safe='')}:{percent(self.password, safe='')}@{netloc(host, port)}"


def netloc(host: str, port: int) -> str:
    """`host:port`; an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class LinkAuth(Protocol):
    """Writes the parts of a server configuration that say who is who."""

    def admission(self) -> str:
        """Top-level lines: accounts, users and what they may do."""
        ...

    def remote(self, urls: Sequence[str], host: str) -> str:
        """Lines inside a remote: where it dials, and as whom. `host` is the path of the tier at these addresses."""
        ...


@dataclass(frozen=True, slots=True)
class PasswordAuth:
    """Children by one user and password. Clients likewise, or, where `clients` is None, everybody
    who reaches the client port: only for a port on loopback."""

    children: Login
    clients: Login | None = None

    def admission(self) -> str:
        """One account, which the leaf links join; each user only by its own kind of connection, so
        that no anonymous leaf slips in as the local user. What the server tells of this account's connections
        comes to the tier as messages."""
        anyone = f"no_auth_user: {quote(LOCAL_USER)}\n" if self.clients is None else ""
        told = f"{{ stream: {{ account: {SYSTEM}, subject: {quote(_CONNECTIONS)} }}, to: {quote(_TOLD)} }}"
        users = f"users: [\n{self._client()}\n{self._child()}\n  ]"
        return (
            f"{anyone}system_account: {SYSTEM}\naccounts {{\n"
            f"  {SYSTEM}: {{ exports: [ {{ stream: {quote(_CONNECTIONS)} }} ] }}\n"
            f"  {ACCOUNT}: {{ imports: [ {told} ], {users} }}\n}}"
        )

    def _client(self) -> str:
        login = f"user: {quote(LOCAL_USER)}"
        if self.clients is not None:
            login = f"user: {quote(self.clients.user)}, password: {quote(self.clients.password)}"
        return f'    {{ {login}, allowed_connection_types: ["STANDARD", "WEBSOCKET"] }}'

    def _child(self) -> str:
        login = f"user: {quote(self.children.user)}, password: {quote(self.children.password)}"
        deny = f"{{ deny: {array(NEVER_CROSS)} }}"
        return (
            f'    {{ {login}, allowed_connection_types: ["LEAFNODE"],\n'
            f"      permissions: {{ publish: {deny}, subscribe: {deny} }} }}"
        )

    def remote(self, urls: Sequence[str], host: str) -> str:
        """The login stands in the urls."""
        return f"      urls: {array(urls)}\n      account: {quote(ACCOUNT)}"

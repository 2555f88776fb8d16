"""Operator mode: the tier is the operator of its own server, and each user has a credential of its own."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

from bus.errors import Refused
from leafnodes.credentials import account
from leafnodes.credentials.tier import Credentials
from leafnodes.text import array, quote


class OperatorAuth:
    """The `LinkAuth` of a tier with credentials."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def admission(self) -> str:
        """The operator and its two accounts: all there is to know is in this file, no other server is asked."""
        keys, state = self._credentials.keys, self._credentials.state
        own = account.account(keys, state.path, state, self._credentials.cut)
        return (
            f"operator: {account.operator(keys, state.path)}\n"
            f"system_account: {keys.system.public}\n"
            "resolver: MEMORY\n"
            f"resolver_preload: {{\n  {keys.account.public}: {own}\n  {keys.system.public}: {account.system(keys)}\n}}"
        )

    def remote(self, urls: Sequence[str], host: str) -> str:
        """The cluster's credential for this host, into its own account."""
        file = self._credentials.link_file(host)
        if file is None:
            raise Refused(f"there is no credential for {host}: it cannot be attached there", field="parent")
        plain = [_without_login(url) for url in urls]
        return (
            f"      urls: {array(plain)}\n      credentials: {quote(str(file))}\n"
            f"      account: {quote(self._credentials.keys.account.public)}"
        )


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

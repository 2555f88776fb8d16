"""TLS of one tier's server: what it shows on its ports, and by which authorities it knows its parents.

An address of such a server ends with the authority's certificate, `tls://HOST:PORT#...`: whoever has the address knows
by it whom to believe. The servers read their certificates again when the configuration is loaded, and live links stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urldefrag

import structlog

from bus.errors import OteError
from leafnodes.certificates import Certificates, from_words, read, to_words
from leafnodes.files import write_private
from leafnodes.text import quote

LOOK = 1.0
"""Seconds between two looks at the certificates."""
HANDSHAKE = 5
"""Seconds for a handshake: the server's default of 2 is short for a slow link."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Tls:
    """`made` are certificates that the tier makes itself; else `certificate`, `key` and `authority` are files of
    somebody else's. `serves`: its ports speak TLS and nothing else. Of children it asks for a certificate of
    `children`. `parents` are more authorities of the servers that it dials."""

    directory: Path
    serves: bool = True
    made: Certificates | None = None
    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None
    children: Path | None = None
    parents: Path | None = None

    def settle(self) -> None:
        """What is missing is made. Conflict if what is given is no certificate."""
        if self.made is not None:
            self.made.settle()
        for file in (self.certificate, self.authority, self.children, self.parents):
            if file is not None:
                read(file)

    @property
    def word(self) -> str:
        """What the address of this server ends with; "" where everybody knows its authority."""
        file = self.made.authority_file if self.made is not None else self.authority
        return f"#{to_words(read(file)[0])}" if file is not None else ""

    def ports(self, *, leaf: bool) -> str:
        """The block for the client port, or that for leaf links; "" where they do not speak TLS."""
        if not self.serves:
            return ""
        verify = f" ca_file: {quote(str(self.children))}, verify: true," if leaf and self.children else ""
        return f"tls {{ {self._shown()},{verify} timeout: {HANDSHAKE} }}"

    def remote(self, urls: Sequence[str]) -> str:
        """The block of a remote that dials these addresses; "" where none speaks TLS."""
        words = [from_words(fragment) for _, fragment in map(urldefrag, urls) if fragment]
        if not words and self.parents is None and not any(url.startswith("tls:") for url in urls):
            return ""
        known = words + ([self.parents.read_text()] if self.parents is not None else [])
        trusted = ""
        if known:
            self.directory.mkdir(parents=True, exist_ok=True)
            file = self.directory / "parents.pem"
            if not file.exists() or file.read_text() != "".join(known):
                write_private(file, "".join(known))
            trusted = f" ca_file: {quote(str(file))},"
        return f"      tls {{{trusted} {self._shown()}, timeout: {HANDSHAKE} }}\n"

    def _shown(self) -> str:
        certificate = self.made.server_file if self.made is not None else self.certificate
        return f"cert_file: {quote(str(certificate))}, key_file: {quote(str(self.key or certificate))}"

    async def keep(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Runs for ever: renews what is due, and tells the server when a file has changed."""
        seen = self._stamps()
        while True:
            await asyncio.sleep(LOOK)
            try:
                if self.made is not None:
                    await asyncio.to_thread(self.made.settle)
                if (now := self._stamps()) != seen:
                    await refresh()
                    seen = now
                    log.info("the server has new certificates")
            except OteError as error:
                # What is wrong may be half written: it is looked at again.
                log.error("certificates were not renewed", error=error.message)

    def _stamps(self) -> dict[Path, int]:
        """When each file was written."""
        made = self.made.server_file if self.made is not None else None
        files = (made, self.certificate, self.key, self.children, self.parents)
        return {file: file.stat().st_mtime_ns for file in files if file is not None and file.exists()}


def speaks_tls(url: str) -> bool:
    """Whether a server at this address speaks it: an address that ends with an authority says so."""
    return url.startswith("tls:") or bool(urldefrag(url)[1])


def dialling(state: Path, path: str, parent: str) -> Tls | None:
    """What a server needs that only dials this parent; None where that speaks no TLS."""
    if not speaks_tls(parent):
        return None
    directory = state.resolve() / "tls"
    return Tls(directory, serves=False, made=Certificates(directory, path))

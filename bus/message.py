"""A message as handlers see it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

from bus.errors import BadRequest

_VERSION = b"NATS/1.0"
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Sender(Protocol):
    """Who can publish an answer."""

    def send(self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None) -> None: ...


class Message:
    """One message that came in. `reply` is "" where no answer is wanted."""

    __slots__ = ("_head", "_headers", "_sender", "data", "reply", "subject")

    def __init__(self, sender: Sender, subject: str, reply: str, data: bytes, head: bytes | None = None) -> None:
        self.subject = subject
        self.reply = reply
        self.data = data
        self._sender = sender
        self._head = head
        self._headers: dict[str, str] | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, read when first asked for; of several with one name the last."""
        if self._headers is None:
            self._headers = decode_headers(self._head) if self._head else {}
        return self._headers

    @property
    def status(self) -> str:
        """The status that a server sends instead of a message: "503" is "no responders". Else ""."""
        head = self._head
        return head[9:12].decode("ascii", "replace") if head and head[8:9] == b" " else ""

    def respond(self, payload: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Sends an answer, if one is wanted. Unavailable while there is no connection."""
        if self.reply:
            self._sender.send(self.reply, payload, headers)

    def __repr__(self) -> str:
        return f"Message({self.subject!r}, {len(self.data)} bytes)"


def encode_headers(headers: Mapping[str, str] | None) -> bytes:
    """Headers as they stand before a payload; nothing if there are none. BadRequest if one cannot be sent."""
    return _encode(tuple(headers.items())) if headers else b""


# Nearly every message carries one of a few sets of headers.
@lru_cache(maxsize=256)
def _encode(headers: tuple[tuple[str, str], ...]) -> bytes:
    lines = [_VERSION]
    for name, value in headers:
        if not name or not _TOKEN.issuperset(name):
            raise BadRequest(f"{name!a} is no name of a header", field="headers")
        if "\r" in value or "\n" in value:
            raise BadRequest(f"header {name} has more than one line", field="headers")
        lines.append(f"{name}: {value.strip()}".encode("utf-8", "replace"))
    return b"\r\n".join((*lines, b"", b""))


def decode_headers(head: bytes) -> dict[str, str]:
    """The headers in these bytes; what is none is left out."""
    headers = {}
    for line in head.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            headers[name.strip().decode("ascii", "replace")] = value.strip().decode("utf-8", "replace")
    return headers

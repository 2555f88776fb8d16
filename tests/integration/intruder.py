"""Whoever has stolen a site's credential, and speaks the protocol of leaf links himself: no server of his own keeps him
to what he may do."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any, Self

from leafnodes.credentials.keys import KeyPair

DEADLINE = 30.0


class Intruder:
    """A link to a leaf port. `heard` is what came: (subject, payload); `errors` what the server said to him."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.heard: list[tuple[str, bytes]] = []
        self.errors: list[str] = []
        self.closed = asyncio.Event()
        self._pongs = 0
        self._ponged = asyncio.Event()
        self._task = asyncio.create_task(self._listen(), name="intruder")

    @classmethod
    async def enter(cls, port: int, creds: Path, name: str) -> Self:
        """Logs in with a stolen file, as a server of this name."""
        lines = creds.read_text().splitlines()
        token, seed = lines[1], lines[-2]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
        info: dict[str, Any] = json.loads((await reader.readline()).split(b" ", 1)[1])
        signature = base64.urlsafe_b64encode(KeyPair(seed).sign(info["nonce"].encode())).decode().rstrip("=")
        connect = {"jwt": token, "sig": signature, "name": name, "cluster": "intruder", "version": "2.15.1"}
        writer.write(f"CONNECT {json.dumps(connect)}\r\nPING\r\n".encode())
        return cls(reader, writer)

    async def _listen(self) -> None:
        try:
            while line := await self._reader.readline():
                verb, _, rest = line.decode().strip().partition(" ")
                if verb == "PING":
                    self._writer.write(b"PONG\r\n")
                elif verb == "PONG":
                    self._pongs += 1
                    self._ponged.set()
                elif verb == "-ERR":
                    self.errors.append(rest)
                elif verb in ("LMSG", "HMSG"):
                    words = rest.split()
                    payload = await self._reader.readexactly(int(words[-1]) + 2)
                    self.heard.append((words[0], payload[:-2]))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.closed.set()
            self._ponged.set()

    def say(self, subject: str, payload: bytes = b"x") -> None:
        """Sends a message."""
        self._writer.write(f"LMSG {subject} {len(payload)}\r\n".encode() + payload + b"\r\n")

    def begin(self, subject: str, size: int, payload: bytes) -> None:
        """Sends the beginning of a message that says to be so large."""
        self._writer.write(f"LMSG {subject} {size}\r\n".encode() + payload)

    def listen(self, *subjects: str) -> None:
        """Wants to hear these."""
        for subject in subjects:
            self._writer.write(f"LS+ {subject}\r\n".encode())

    async def settled(self) -> None:
        """Returns when the server has looked at all that was sent, or has thrown him out."""
        before = self._pongs
        self._writer.write(b"PING\r\n")
        async with asyncio.timeout(DEADLINE):
            while self._pongs == before and not self.closed.is_set():
                self._ponged.clear()
                await self._ponged.wait()

    async def __aenter__(self) -> Self:
        await self.settled()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._writer.transport.abort()

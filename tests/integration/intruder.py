"""Whoever has stolen a site's credential, and speaks the protocol of leaf links himself: no server of his own keeps him
to what he may do."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from leafnodes.credentials.keys import KeyPair
from tests.integration import compressed
from tests.support import eventually

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
        reader, writer, connect = await cls._reach(port, creds, name)
        writer.write(connect + b"PING\r\n")
        return cls(reader, writer)

    @staticmethod
    async def _reach(port: int, creds: Path, name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
        """A connection that has heard the server's nonce, and the line by which it logs in."""
        lines = creds.read_text().splitlines()
        token, seed = lines[1], lines[-2]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
        info: dict[str, Any] = json.loads((await reader.readline()).split(b" ", 1)[1])
        signature = base64.urlsafe_b64encode(KeyPair(seed).sign(info["nonce"].encode())).decode().rstrip("=")
        connect = {"jwt": token, "sig": signature, "name": name, "cluster": "intruder", "version": "2.15.1"}
        return reader, writer, f"CONNECT {json.dumps(connect)}\r\n".encode()

    @classmethod
    async def _compress(cls, port: int, creds: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Logs in over a compressed link; nothing where the server has not waited so long on a busy machine."""
        reader, writer, connect = await cls._reach(port, creds, "swollen")
        wanted = {"server_id": "S", "server_name": "s", "version": "2.15.1", "proto": 1, "compression": "s2_fast"}
        writer.write(f"INFO {json.dumps(wanted)}\r\n".encode())
        # It may have something else to say before.
        said = await reader.readline()
        while said and b"Timeout" not in said and b'"compression":"s2_fast"' not in said:
            said = await reader.readline()
        if not said or b"Timeout" in said:
            writer.close()
            return None
        writer.write(compressed.BEGIN + compressed.plain(connect))
        return reader, writer

    @classmethod
    async def swell(cls, port: int, creds: Path, frames: Iterable[bytes]) -> bool:
        """Logs in over a compressed link, and sends these frames; whether the server has ended the link for it."""
        link = await eventually(lambda: cls._compress(port, creds), what="the link is compressed")
        assert link is not None
        reader, writer = link
        try:
            # It is let in when its permissions come, and before that looked at as nobody's.
            await reader.read(2**16)
            for frame in frames:
                writer.write(frame)
                await writer.drain()
            async with asyncio.timeout(DEADLINE):
                while await reader.read(2**16):
                    pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        finally:
            writer.close()
        return True

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

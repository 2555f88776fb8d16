"""What a server must keep over restarts: its name, its ports and the password of its children.

A name is the path and a random part: two servers of the same path must not evict each other from
their parent, which goes by names. Children and people remember the ports.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from bus.errors import Conflict
from leafnodes.files import write_private
from leafnodes.ports import free_port

CHILD_USER = "child"
_TAG_BYTES = 4


class Identity(BaseModel):
    """One server's own; kept in a file that only its owner reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    tag: str
    client_port: int
    leaf_port: int
    monitor_port: int
    children_password: str

    @property
    def server_name(self) -> str:
        """Unique among all servers."""
        return f"{self.path}-{self.tag}"

    @classmethod
    def load(cls, file: Path) -> Self | None:
        """The identity in this file, None if there is no file. Conflict if it cannot be read."""
        try:
            return cls.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            raise Conflict(
                f"{file} is damaged",
                hint="remove it: the server then takes new ports, and its children must be given its new leaf url",
            ) from None

    def save(self, file: Path) -> None:
        """Replaces the file as a whole."""
        write_private(file, self.model_dump_json(indent=2) + "\n")


def path_of(server_name: str) -> str:
    """The path in a server's name, as it stands in the links of its parent."""
    return server_name.rsplit("-", 1)[0]


def settle(known: Identity | None, path: str, host: str, *, client: int, leaf: int, monitor: int) -> Identity:
    """The identity to run with: ports that are given (not 0), else those known, else free ones."""
    before = (known.client_port, known.leaf_port, known.monitor_port) if known else (0, 0, 0)
    ports = [given or kept for given, kept in zip((client, leaf, monitor), before, strict=True)]
    for index, port in enumerate(ports):
        ports[index] = port or free_port(host, avoid=frozenset(ports))
    return Identity(
        path=path,
        tag=known.tag if known else secrets.token_hex(_TAG_BYTES),
        client_port=ports[0],
        leaf_port=ports[1],
        monitor_port=ports[2],
        children_password=known.children_password if known else secrets.token_urlsafe(18),
    )

"""What a client reads of its own credential file: who it is on the tier's server.

The server believes nothing of this: it reads what was signed. It only tells the client which subjects are its own."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bus import subjects
from bus.errors import BadRequest

_BEGIN = "-----BEGIN NATS USER JWT-----"
_TIER = "tier:"


@dataclass(frozen=True, slots=True)
class Credential:
    """A user of the server of the tier `tier` (None: not one of ours). `free` users may send all."""

    file: Path
    user: str
    tier: str | None
    free: bool

    @classmethod
    def load(cls, file: Path) -> Self:
        """The credential in this file. BadRequest if there is none."""
        try:
            lines = [line.strip() for line in file.read_text().splitlines()]
            body = lines[lines.index(_BEGIN) + 1].split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
            tags = claims["nats"].get("tags", [])
            tier = next((tag.removeprefix(_TIER) for tag in tags if tag.startswith(_TIER)), None)
            return cls(file, str(claims["name"]), tier, "pub" not in claims["nats"] or not claims["nats"]["pub"])
        except OSError as error:
            raise BadRequest(f"{file} cannot be read: {error.strerror}", field="--creds") from None
        except (ValueError, KeyError, IndexError, AttributeError, TypeError):
            raise BadRequest(f"{file} is no credential", field="--creds", hint="ote user NAME makes one") from None

    @property
    def inbox(self) -> str:
        """Where its answers come."""
        return "_INBOX" if self.tier is None else subjects.inbox(self.tier, self.user)

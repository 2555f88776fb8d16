"""Version 2: where migrations begin."""

from __future__ import annotations

revision = "0002"
down_revision = None


def upgrade() -> None:
    """Nothing: these are the tables that a log of version 2 has."""

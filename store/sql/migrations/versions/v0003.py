"""Version 3: the objects of all clusters."""

from __future__ import annotations

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Nothing: the tables of a projection are made where they are missing, and filled from the events."""

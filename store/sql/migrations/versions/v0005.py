"""Version 5: the keys of clusters."""

from __future__ import annotations

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Nothing: the tables of a projection are made where they are missing, and filled from the events."""

"""Version 7: what waits for a cluster's own word on where it is."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Takes the table away: it is made anew, and filled from the events."""
    op.execute("DROP TABLE IF EXISTS whereabouts")

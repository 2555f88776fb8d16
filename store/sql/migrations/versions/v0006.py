"""Version 6: where clusters pass the links of their siblings on."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Takes the table away: it is made anew, and filled from the events."""
    op.execute("DROP TABLE IF EXISTS whereabouts")

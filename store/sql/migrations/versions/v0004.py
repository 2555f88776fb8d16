"""Version 4: with which `synchronous` a log is written, and what was compacted away."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "guarantees",
        sa.Column("since", sa.Text, nullable=False),
        sa.Column("row", sa.BigInteger, nullable=False),
        sa.Column("synchronous", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("since"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "floors",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("epoch", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("source", "epoch", "target"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "snapshots",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("name", "key"),
        sqlite_with_rowid=False,
    )

"""Brings the tables of an older log up to date, with alembic.

The version of the schema that a log has in it is the only record of how far it is. Each version from 2 on has a
module in `versions`, whose revision is the version's number in four digits; it is frozen when it is released. Tables
of new projections need no operations: they are made where they are missing, and filled from the events.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from store.sql.schema import METADATA

FIRST = 2
"""The oldest version that can be migrated; version 1 had the same tables."""


def migrate(connection: sa.Connection, version: int) -> None:
    """Brings tables of this version to the latest, in the running transaction."""
    # Alembic takes a while to import, and most logs never need it.
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(__file__).parent))
    due = list(scripts.iterate_revisions("head", revision(max(version, FIRST))))
    with Operations.context(MigrationContext.configure(connection)):
        for script in reversed(due):
            script.module.upgrade()
    METADATA.create_all(connection, checkfirst=True)


def revision(version: int) -> str:
    """The revision of a version of the schema."""
    return f"{version:04d}"

"""Fixtures for the integration tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.tiers import Tiers


@pytest.fixture
async def tiers(tmp_path: Path) -> AsyncIterator[Tiers]:
    """Starts tiers: `await tiers.grow("root")`; all are stopped at the end."""
    async with Tiers(tmp_path) as tree:
        yield tree

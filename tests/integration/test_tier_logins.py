"""A tier that listens where others reach it asks clients and children for logins."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from tests.integration.cli import Ote
from tests.integration.tiers import Tiers


async def test_clients_and_children_log_in(tiers: Tiers, tmp_path: Path) -> None:
    root = await tiers.grow("root", shims=(), host="0.0.0.0", client_login="me:s3cret", child_login="kid:pa/ss")
    await tiers.grow("root.site1", root)
    assert "//me:s3cret@" in root.info["nats"] and "//kid:pa%2Fss@" in root.leaf
    assert (await Ote(tmp_path, root.info["nats"])("get", "clusters", "-o", "name")).lines == ["root", "root.site1"]
    stranger = await Ote(tmp_path, root.info["nats"].replace("me:s3cret@", ""))("get", "clusters")
    assert (stranger.code, stranger.out) == (6, "") and "credentials" in stranger.err
    assert stat.S_IMODE((root.state / "tier.json").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--host", "0.0.0.0"], "--client-login USER:PASSWORD"),
        (["--client-login", "nobody"], "ote tier --help"),
        (["--child-login", "a b:c"], "ote tier --help"),
    ],
)
async def test_what_is_missing_is_named(tmp_path: Path, words: list[str], hint: str) -> None:
    ran = await Ote(tmp_path, None)("tier", "--path", "root", "--state", "root", *words)
    assert ran.code == 2 and hint in ran.err and "Traceback" not in ran.err


async def test_the_state_directory_may_come_from_the_environment(tmp_path: Path) -> None:
    ote = Ote(tmp_path, None)
    ote.environ["OTE_TIER_STATE"] = str(tmp_path / "elsewhere")
    process = await ote.start("tier", "--path", "root")
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert (await process.stdout.readline()).startswith(b"root is up")
        process.terminate()
        await process.communicate()
    assert (tmp_path / "elsewhere" / "log.db").exists() and not (tmp_path / "root").exists()

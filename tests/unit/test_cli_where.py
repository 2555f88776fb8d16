from __future__ import annotations

import json
from pathlib import Path

import pytest

from bus.errors import BadRequest, NotFound, Unavailable
from services.cli.options import Common
from services.cli.where import server_url

TIERS = {
    "root.east": {"nats": "nats://127.0.0.1:2", "pids": [2], "log": "e.log"},
    "root": {"nats": "nats://127.0.0.1:1", "pids": [1], "log": "r.log"},
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lab(directory: Path) -> Path:
    directory.mkdir()
    (directory / "lab.json").write_text(json.dumps({"tiers": TIERS}))
    return directory


def test_what_is_typed_wins_over_the_environment(tmp_path: Path) -> None:
    other = {"OTE_SERVER": "nats://env:1", "OTE_LAB": "nowhere"}
    assert server_url(Common(server="nats://typed:1"), other) == "nats://typed:1"
    assert server_url(Common(lab=lab(tmp_path / "lab")), other) == "nats://127.0.0.1:1"
    assert server_url(Common(), other) == "nats://env:1"


def test_the_lab_of_this_directory_is_found(tmp_path: Path) -> None:
    lab(tmp_path / ".ote-lab")
    assert server_url(Common(), {}) == "nats://127.0.0.1:1"
    assert server_url(Common(tier="root.east"), {}) == "nats://127.0.0.1:2"


def test_tier_means_the_lab_even_where_a_server_is_set(tmp_path: Path) -> None:
    directory = lab(tmp_path / "lab")
    environ = {"OTE_SERVER": "nats://env:1", "OTE_LAB": str(directory)}
    assert server_url(Common(tier="root.east"), environ) == "nats://127.0.0.1:2"


def test_nowhere_to_go_says_what_to_do() -> None:
    with pytest.raises(Unavailable, match="no tier") as caught:
        server_url(Common(), {})
    assert "ote lab up" in str(caught.value.hint)


def test_an_unknown_tier_lists_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        server_url(Common(lab=lab(tmp_path / "lab"), tier="root.west"), {})
    assert caught.value.hint == "it has root, root.east"


def test_server_and_lab_exclude_each_other() -> None:
    with pytest.raises(BadRequest, match="--tier exclude"):
        server_url(Common(server="nats://x:1", tier="root"), {})
    with pytest.raises(BadRequest, match="--lab exclude"):
        server_url(Common(server="nats://x:1", lab=Path("x")), {})


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"tiers": {}}', '{"tiers": {"root": {}}}', '{"tiers": [1]}'])
def test_a_broken_state_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "lab.json").write_text(text)
    with pytest.raises(BadRequest, match=r"lab\.json is no lab's state"):
        server_url(Common(lab=tmp_path), {})


def test_a_lab_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no lab in"):
        server_url(Common(lab=tmp_path / "gone"), {})

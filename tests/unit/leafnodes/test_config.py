"""The rendered configuration, judged by the real server wherever the server can judge."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bus import paths
from bus.errors import BadRequest
from leafnodes.auth import Login, PasswordAuth
from leafnodes.binary import find_binary
from leafnodes.config import ServerConfig, Tuning, is_loopback, parent_urls, render
from leafnodes.files import LogFile, write_private
from leafnodes.text import quote

HOSTILE = "a$b\"c\\d{}#;'%$SRV ünïcode]"


def config(directory: Path, **changes: Any) -> ServerConfig:
    settings: dict[str, Any] = {
        "path": paths.parse_path("root.east"),
        "server_name": "root.east-1a2b",
        "client_port": 21001,
        "leaf_port": 21002,
        "monitor_port": 21003,
        "auth": PasswordAuth(children=Login("child", "secret")),
        "pid_file": directory / "nats.pid",
        "log_file": directory / "nats.log",
    }
    return ServerConfig(**(settings | changes))


def check(directory: Path, text: str) -> None:
    """Fails unless nats-server itself finds the text valid."""
    file = directory / "nats.conf"
    write_private(file, text)
    result = subprocess.run([find_binary(), "-t", "-c", file], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("compression", ["auto", "off", "accept", "s2_auto", "s2_fast", "s2_better", "s2_best"])
@pytest.mark.parametrize("parents", [(), ("nats-leaf://u:p@10.0.0.1:7422",), ("tls://a.example:1", "nats://[::1]:2")])
def test_the_server_accepts_what_is_rendered(tmp_path: Path, compression: Any, parents: tuple[str, ...]) -> None:
    check(tmp_path, render(config(tmp_path, parents=parents, tuning=Tuning(compression=compression))))


def test_hostile_logins_and_paths_are_only_text(tmp_path: Path) -> None:
    directory = tmp_path / HOSTILE
    directory.mkdir()
    login = Login(HOSTILE, HOSTILE)
    url = login.url("nats-leaf", "::1", 7422)
    (parent,) = parent_urls(url)
    auth = PasswordAuth(children=login, clients=Login("me " + HOSTILE, HOSTILE))
    check(directory, render(config(directory, auth=auth, parents=(parent,), host="::1")))


@pytest.mark.parametrize("text", ["a\nb", "a\x00", "\x1b[0m"])
def test_control_characters_are_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="cannot be printed"):
        quote(text)


def test_each_depth_has_its_own_cluster_name_and_no_cluster_port(tmp_path: Path) -> None:
    for path, name in (("root", "ote-t0"), ("root.east", "ote-t1"), ("root.west", "ote-t1"), ("root.a.b", "ote-t2")):
        assert f'cluster {{ name: "{name}" }}' in render(config(tmp_path, path=paths.parse_path(path)))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "off"),
        ("localhost", "off"),
        ("10.1.2.3", "off"),
        ("192.168.0.7", "off"),
        ("[::1]", "off"),
        ("8.8.8.8", "s2_auto"),
        ("hub.example.com", "s2_auto"),
    ],
)
def test_auto_compresses_long_links_only(tmp_path: Path, host: str, expected: str) -> None:
    text = render(config(tmp_path, parents=(f"nats-leaf://u:p@{host}:7422",)))
    hub, remote = (line.strip() for line in text.splitlines() if "compression" in line)
    assert (hub, remote) == ("compression: accept", f"compression: {expected}")


@pytest.mark.parametrize(
    "url",
    ["", "host:7422", "http://host:1", "nats-leaf://", "nats-leaf://h:99999", "nats-leaf://h :1", "nats-leaf://h:x"],
)
def test_a_wrong_parent_is_refused(url: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parent_urls(url)
    assert caught.value.field == "parent" and "nats-leaf://" in str(caught.value.hint)


def test_a_refused_parent_does_not_show_its_password() -> None:
    with pytest.raises(BadRequest) as caught:
        parent_urls("nats-leaf://user:hunter2@host:hunter2")
    assert "hunter2" not in str(caught.value.body())


@pytest.mark.parametrize("wrong", [{"compression": "zip"}, {"ping_interval": 0}, {"max_payload": -1}])
def test_wrong_tuning_names_the_field(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        Tuning(**wrong)
    assert [caught.value.field] == list(wrong)


def test_loopback() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "10.0.0.1", "a")] == [
        True,
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_private_files_are_replaced_as_a_whole_and_stay_private(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, "new")
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_log_is_read_from_a_place_on_also_after_it_was_cut(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log")
    assert (log.end(), log.since(0), log.tail(0)) == (0, "", "(its log is empty)")
    log.path.write_text("".join(f"line {number}\n" for number in range(9)))
    place = log.end()
    with log.path.open("a") as stream:
        stream.write("later\n")
    assert log.since(place) == "later\n"
    assert log.tail(0).splitlines()[0] == "line 5"
    log.path.write_text("cut\n")
    assert log.since(place) == "cut\n"

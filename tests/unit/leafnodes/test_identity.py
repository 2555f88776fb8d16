from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from bus.errors import BadRequest, Conflict, Unavailable
from leafnodes.identity import Identity, path_of, settle
from leafnodes.ports import HIGHEST, LOWEST, RANGE, free_port

HOST = "127.0.0.1"


def fresh(path: str = "root.east", client: int = 0, leaf: int = 0, monitor: int = 0) -> Identity:
    return settle(None, path, HOST, client=client, leaf=leaf, monitor=monitor)


def test_a_fresh_identity_has_three_ports_and_its_own_secrets() -> None:
    one, two = fresh(), fresh()
    assert len({one.client_port, one.leaf_port, one.monitor_port}) == 3
    assert one.server_name != two.server_name
    assert one.children_password != two.children_password
    assert path_of(one.server_name) == "root.east"


def test_ports_that_are_given_win_over_those_known_and_those_over_free_ones() -> None:
    known = fresh()
    again = settle(known, known.path, HOST, client=0, leaf=24001, monitor=0)
    assert (again.client_port, again.leaf_port, again.monitor_port) == (known.client_port, 24001, known.monitor_port)
    assert (again.server_name, again.children_password) == (known.server_name, known.children_password)


def test_a_free_port_is_never_one_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RANGE, "25001-25003")
    monkeypatch.setattr("leafnodes.ports.is_free", lambda host, port: True)
    identity = fresh(leaf=25001)
    assert identity.leaf_port == 25001
    assert {identity.client_port, identity.monitor_port} == {25002, 25003}


def test_a_moved_path_renames_the_server_and_keeps_the_rest() -> None:
    known = fresh("root.east")
    moved = settle(known, "root.west", HOST, client=0, leaf=0, monitor=0)
    assert path_of(moved.server_name) == "root.west"
    assert (moved.tag, moved.client_port) == (known.tag, known.client_port)


def test_an_identity_is_saved_privately_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "nats.json"
    assert Identity.load(file) is None
    identity = fresh()
    identity.save(file)
    assert Identity.load(file) == identity
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "{", "[]", '{"path": "root"}'])
def test_a_damaged_identity_is_told_with_its_remedy(tmp_path: Path, content: str) -> None:
    file = tmp_path / "nats.json"
    file.write_text(content)
    with pytest.raises(Conflict, match=r"nats\.json is damaged") as caught:
        Identity.load(file)
    assert "remove it" in str(caught.value.hint)


def test_free_ports_are_outside_the_range_of_outgoing_connections() -> None:
    port = free_port()
    assert LOWEST <= port <= HIGHEST
    with socket.create_server((HOST, port)):
        pass


def test_the_environment_gives_another_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RANGE, "31000-31009")
    assert all(31000 <= free_port() <= 31009 for _ in range(20))
    for wrong in ("31000", "5-4", "0-9", "1-70000", "a-b"):
        monkeypatch.setenv(RANGE, wrong)
        with pytest.raises(BadRequest, match="no range of ports"):
            free_port()


def test_a_port_is_not_given_twice_while_there_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server may not listen yet, or be down for a moment."""
    monkeypatch.setenv(RANGE, "31000-31099")
    assert len({free_port() for _ in range(50)}) == 50


def test_a_taken_port_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv(RANGE, f"{port}-{port}")
        with pytest.raises(Unavailable, match="no free port"):
            free_port()


def test_a_host_that_is_not_this_machine_is_told() -> None:
    with pytest.raises(Unavailable, match=r"cannot listen on 192\.0\.2\.1"):
        free_port("192.0.2.1")
